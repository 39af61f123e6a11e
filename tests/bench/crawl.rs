//! Runs one crawl with the real binary and measures it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use sanggwond::domain::station::Station;
use sanggwond::http_client::plain_client;
use sanggwond::standin::DEMO_PLACES;
use sanggwond::stations;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::database::Database;

/// The unit of the times in `/proc/<pid>/stat`: 100 ticks per second on every machine.
const TICK_MS: f64 = 10.0;

/// The exit code of a partial run, such as one that found nothing at all.
const PARTIAL: i32 = 3;

/// Interval at which the process is measured. A memory peak is missed only if it occurs after the last measurement.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// The parameters of a crawl.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crawl {
    /// The number of stations, selected evenly from the whole station file.
    pub(crate) stations: usize,
    /// The latency of the stand-in.
    pub(crate) latency: &'static str,
    /// `kakao.max_in_flight`.
    pub(crate) in_flight: u32,
    /// `crawl.page_delay`.
    pub(crate) page_delay: &'static str,
    /// `crawl.coverage`.
    pub(crate) coverage: &'static str,
    /// The number of places in the world.
    pub(crate) places: usize,
    /// The week of the world.
    pub(crate) week: u32,
}

/// The result of a crawl.
pub(crate) struct Crawled {
    /// Its summary.
    pub(crate) summary: Summary,
    /// Its peak memory in MiB.
    pub(crate) peak_mib: f64,
    /// Its database.
    pub(crate) database: Database,
    /// What the stand-in measured.
    pub(crate) served: Served,
    cpu_ms: f64,
}

/// The stand-in's own figures.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Served {
    /// Requests that arrived.
    pub(crate) requests: u32,
    /// The sum of its own times for them, from the arrival to the last byte of the response.
    pub(crate) busy_s: f64,
    /// The time from the first arrival to the last byte.
    pub(crate) elapsed_s: f64,
}

/// The summary that the binary prints, with all figures as numbers.
#[derive(Debug, Deserialize)]
pub(crate) struct Summary {
    /// Cells that were read.
    pub(crate) cells_done: usize,
    /// Requests sent.
    pub(crate) requests: u32,
    /// Its duration in seconds.
    pub(crate) elapsed_s: f64,
}

impl Crawl {
    /// By station, in the world of the demo, without latency and page delay.
    pub(crate) const AT_ONCE: Self = Self {
        stations: 0,
        latency: "0s",
        in_flight: 5,
        page_delay: "0s",
        coverage: "station",
        places: DEMO_PLACES,
        week: 0,
    };

    /// Starts a stand-in and crawls it into a fresh database.
    pub(crate) async fn run(self) -> anyhow::Result<Crawled> {
        self.run_into(Database::fresh().await).await
    }

    /// Starts a stand-in and crawls it.
    pub(crate) async fn run_into(self, database: Database) -> anyhow::Result<Crawled> {
        let folder = tempfile::tempdir()?;
        let (config, station_file) = (folder.path().join("config.toml"), folder.path().join("stations.csv"));
        fs::write(&config, "[log]\nfilter = \"error\"\n")?;
        fs::write(&station_file, self.station_file()?)?;
        let (standin, url) = self.start_standin().await?;
        let crawl = sanggwond(&["crawl", "--format", "json", "--config"])
            .arg(&config)
            .env("DATABASE_URL", &database.url)
            .env("KAKAO_REST_API_KEY", "0123456789abcdef0123456789abcdef")
            .env("SANGGWOND_KAKAO__BASE_URL", &url)
            .env("SANGGWOND_KAKAO__MAX_IN_FLIGHT", self.in_flight.to_string())
            .env("SANGGWOND_CRAWL__PAGE_DELAY", self.page_delay)
            .env("SANGGWOND_CRAWL__COVERAGE", self.coverage)
            // Three weeks of the largest world are more than a day's requests.
            .env("SANGGWOND_KAKAO__DAILY_QUOTA", "1000000")
            .env("SANGGWOND_CRAWL__STATIONS", &station_file)
            .spawn()?;
        let process = watch(crawl, self.places == 0).await?;
        let served = plain_client(Duration::from_secs(10))?.get(format!("{url}/standin/stats")).send().await?;
        let served = serde_json::from_slice(&served.error_for_status()?.bytes().await?)?;
        drop(standin);
        let Process { summary, peak_mib, cpu_ms } = process;
        let crawled = Crawled { summary, peak_mib, database, served, cpu_ms };
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
        standin(&["--latency", self.latency, "--places", &places, "--week", &week]).await
    }
}

impl Crawled {
    /// Its duration, divided by the duration with which the server alone would have taken its requests, `in_flight` at a
    /// time.
    pub(crate) fn slowness(&self, in_flight: u32) -> f64 {
        self.summary.elapsed_s / (self.served.busy_s / f64::from(in_flight))
    }

    /// The same from the first request to the last.
    pub(crate) fn slowness_between_requests(&self, in_flight: u32) -> f64 {
        self.served.elapsed_s / (self.served.busy_s / f64::from(in_flight))
    }

    /// Processor time per page, in milliseconds.
    pub(crate) fn cpu_ms_per_page(&self) -> f64 {
        self.cpu_ms / f64::from(self.summary.requests)
    }

    /// The number of rows divided by the duration of the crawl.
    pub(crate) fn rows_per_second(&self, rows: f64) -> f64 {
        rows / self.summary.elapsed_s
    }
}

/// Starts a stand-in with these arguments, and returns its URL, too.
pub(crate) async fn standin(arguments: &[&str]) -> anyhow::Result<(Child, String)> {
    let mut standin = sanggwond(&[&["standin"], arguments].concat()).spawn()?;
    let stdout = standin.stdout.take().context("it has no stdout")?;
    let url = BufReader::new(stdout).lines().next_line().await?.context("the stand-in did not print its URL")?;
    Ok((standin, url))
}

/// The binary with an empty environment; it is killed when the benchmark ends.
pub(crate) fn sanggwond(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sanggwond"));
    command.args(arguments).env_clear().kill_on_drop(true).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A process that has ended successfully.
struct Process {
    summary: Summary,
    peak_mib: f64,
    cpu_ms: f64,
}

/// Measures a crawl until it ends. A dead process keeps its CPU times until it is waited for, but not its memory figures.
async fn watch(mut crawl: Child, is_empty_world: bool) -> anyhow::Result<Process> {
    let process = crawl.id().context("the crawl has already ended")?;
    let mut most_mib = 0.0;
    let cpu_ms = loop {
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The process name before the closing bracket may contain any characters.
        let fields: Vec<&str> = stat.rsplit(") ").next().context("no bracket")?.split(' ').collect();
        if fields[0] == "Z" {
            break (fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) * TICK_MS;
        }
        // A process that is exiting has no memory figures any more.
        most_mib = peak_mib(&process.to_string()).unwrap_or(most_mib);
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let mut stdout = String::new();
    crawl.stdout.take().context("it has no stdout")?.read_to_string(&mut stdout).await?;
    let status = crawl.wait().await?;
    let is_expected = status.success() || (is_empty_world && status.code() == Some(PARTIAL));
    anyhow::ensure!(is_expected, "the crawl ended with {status}");
    Ok(Process { summary: serde_json::from_str(&stdout)?, peak_mib: most_mib, cpu_ms })
}

/// The peak memory of a process in MiB.
pub(crate) fn peak_mib(process: &str) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(peak.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
