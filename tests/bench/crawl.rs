//! One crawl of the real binary, measured from outside.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use sanggwond::domain::station::Station;
use sanggwond::standin::DEMO_PLACES;
use sanggwond::stations;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::database::Database;

/// What `/proc/<pid>/stat` counts in: 100 a second on every machine.
const TICK_MS: f64 = 10.0;

/// How often the process is looked at; its peak is lost only where it falls into its last moment.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is to be crawled, in a fresh database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crawl {
    /// So many stations, taken evenly from the whole station file.
    pub(crate) stations: usize,
    /// How long the stand-in takes to answer.
    pub(crate) latency: &'static str,
    /// `kakao.max_in_flight`.
    pub(crate) in_flight: u32,
    /// `crawl.coverage`.
    pub(crate) coverage: &'static str,
    /// How many places the world has.
    pub(crate) places: usize,
    /// Which week it is in the world.
    pub(crate) week: u32,
}

/// What came of it.
pub(crate) struct Crawled {
    /// What it said.
    pub(crate) summary: Summary,
    /// The most memory that it took.
    pub(crate) peak_mib: f64,
    /// Where it wrote to.
    pub(crate) database: Database,
    cpu_ms: f64,
}

/// What the binary counts, with everything a number to calculate with.
#[derive(Debug, Deserialize)]
pub(crate) struct Summary {
    /// Cells that were read.
    pub(crate) cells_done: usize,
    /// Requests sent.
    pub(crate) requests: u32,
    /// How long it took.
    pub(crate) elapsed_s: f64,
    /// The time that all requests together took.
    pub(crate) in_requests_s: f64,
}

impl Crawl {
    /// By station, in the world of the demo, with answers at once.
    pub(crate) const AT_ONCE: Self =
        Self { stations: 0, latency: "0s", in_flight: 5, coverage: "station", places: DEMO_PLACES, week: 0 };

    /// Starts a stand-in and crawls it into a fresh database.
    pub(crate) async fn run(self) -> anyhow::Result<Crawled> {
        self.run_into(Database::fresh().await).await
    }

    /// Starts a stand-in and crawls it.
    pub(crate) async fn run_into(self, database: Database) -> anyhow::Result<Crawled> {
        let folder = tempfile::tempdir()?;
        let (config, station_file) = (folder.path().join("config.toml"), folder.path().join("stations.csv"));
        fs::write(&config, "[log]\nfilter = \"warn\"\n")?;
        fs::write(&station_file, self.station_file()?)?;
        let (standin, url) = self.start_standin().await?;
        let crawl = sanggwond(&["crawl", "--format", "json", "--config"])
            .arg(&config)
            .env("DATABASE_URL", &database.url)
            .env("KAKAO_REST_API_KEY", "0123456789abcdef0123456789abcdef")
            .env("SANGGWOND_KAKAO__BASE_URL", url)
            .env("SANGGWOND_KAKAO__MAX_IN_FLIGHT", self.in_flight.to_string())
            .env("SANGGWOND_CRAWL__PAGE_DELAY", "0s")
            .env("SANGGWOND_CRAWL__COVERAGE", self.coverage)
            .env("SANGGWOND_CRAWL__STATIONS", &station_file)
            .spawn()?;
        let crawled = watch(crawl, database).await?;
        drop(standin);
        let is_whole = self.coverage != "station" || crawled.summary.cells_done == self.stations * 10;
        anyhow::ensure!(is_whole, "not all cells were read");
        Ok(crawled)
    }

    fn station_file(self) -> anyhow::Result<String> {
        let (all, _) = stations::load(None)?;
        let row = |Station { name, region, lines, position }: &Station| {
            format!("{name},{region},{position},{}\n", lines.first().map_or("", String::as_str))
        };
        Ok(all.iter().step_by(all.len() / self.stations).take(self.stations).map(row).collect())
    }

    async fn start_standin(self) -> anyhow::Result<(Child, String)> {
        let (places, week) = (self.places.to_string(), self.week.to_string());
        let arguments = ["standin", "--latency", self.latency, "--places", &places, "--week", &week];
        let mut standin = sanggwond(&arguments).spawn()?;
        let stdout = standin.stdout.take().context("it has no stdout")?;
        let url = BufReader::new(stdout).lines().next_line().await?.context("the stand-in does not listen")?;
        Ok((standin, url))
    }
}

impl Crawled {
    /// Processor time per page, in milliseconds.
    pub(crate) fn cpu_ms_per_page(&self) -> f64 {
        self.cpu_ms / f64::from(self.summary.requests)
    }

    /// So many rows in the time that the crawl took.
    pub(crate) fn rows_per_second(&self, rows: f64) -> f64 {
        rows / self.summary.elapsed_s
    }

    /// The rows that it wrote.
    pub(crate) async fn rows(&self) -> anyhow::Result<f64> {
        let count = "select ((select count(*) from place) + (select count(*) from place_keyword)
             + (select count(*) from listing) + (select count(*) from crawl_cell))::float8";
        Ok(sqlx::query_scalar(count).fetch_one(&self.database.pool).await?)
    }
}

/// The binary, without the environment, and killed with us.
fn sanggwond(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sanggwond"));
    command.args(arguments).env_clear().kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// Looks at a crawl until its end. A dead process keeps its times until somebody waits for it, but not its memory.
async fn watch(mut crawl: Child, database: Database) -> anyhow::Result<Crawled> {
    let process = crawl.id().context("it has ended already")?;
    let mut most_mib = 0.0;
    let cpu_ms = loop {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name before the bracket may hold anything.
        let fields: Vec<&str> = stat.rsplit(") ").next().context("no bracket")?.split(' ').collect();
        if fields[0] == "Z" {
            break (fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) * TICK_MS;
        }
        // A process that is just ending has no memory any more.
        most_mib = peak_mib(&process.to_string()).unwrap_or(most_mib);
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let mut stdout = String::new();
    crawl.stdout.take().context("it has no stdout")?.read_to_string(&mut stdout).await?;
    let status = crawl.wait().await?;
    anyhow::ensure!(status.success(), "the crawl ended with {status}");
    Ok(Crawled { summary: serde_json::from_str(&stdout)?, peak_mib: most_mib, database, cpu_ms })
}

/// The most memory that a process has taken, in MiB.
pub(crate) fn peak_mib(process: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
