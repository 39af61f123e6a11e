//! A daemon that crawls for an hour, one run after the other, next to requests for its pages: whether its memory, its open
//! files and its connections stay the same. `cargo bench -- soak` runs it, and nothing else does; `--minutes=6` shortens it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sanggwond::http_client::plain_client;
use sqlx::PgPool;
use tokio::process::Child;
use tokio::time::Instant;

use crate::crawl::{sanggwond, standin};
use crate::database::Database;
use crate::table::Table;

/// How long it takes without `--minutes`.
const MINUTES: u64 = 60;

/// Number of parts of this time that are compared. The first one is not: the caches fill.
const PARTS: usize = 6;

/// Interval between two looks at the process.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A run every half minute, of 9,410 cells and some 1,900 requests.
const CRON: &str = "*/30 * * * * *";

/// What a process holds.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    memory_mib: f64,
    files: f64,
    threads: f64,
    connections: f64,
    runs: f64,
}

/// Runs the daemon, and compares the last part with the second one.
pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let minutes = std::env::args().find_map(|argument| argument.strip_prefix("--minutes=")?.parse().ok());
    let minutes = minutes.unwrap_or(MINUTES);
    let length = Duration::from_secs(minutes * 60) / u32::try_from(PARTS)?;
    let database = Database::fresh().await;
    let (_standin, url) = standin(&["--places", "20000", "--latency", "2ms", "--fault-share", "0.01"]).await?;
    let folder = tempfile::tempdir()?;
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let daemon = start(&database, &url, (folder.path(), port))?;
    let pid = daemon.id().context("the daemon has ended")?;
    let client = plain_client(Duration::from_secs(10))?;
    let mut parts = Vec::new();
    for _ in 0..PARTS {
        let until = Instant::now() + length;
        let mut looks = Vec::new();
        while Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
            for page in ["", "report", "metrics", "livez"] {
                client.get(format!("http://127.0.0.1:{port}/{page}")).send().await?.error_for_status()?.bytes().await?;
            }
            looks.push(look(pid, &database.pool).await?);
        }
        parts.push(summary(&looks));
    }
    drop(daemon);
    let title = format!("A soak of {minutes} minutes: {PARTS} parts");
    table.section(
        &title,
        "A run in rectangles every half minute, 1 % of the requests fail; /, /report, /metrics and /livez every 5 s. Memory is the \
         median of VmRSS, the others are maxima. Limits are those of the second part, plus a tenth and 1 MiB, and plus three.",
    )?;
    let [_, second, .., last] = parts.as_slice() else { anyhow::bail!("there are too few parts") };
    for (number, one) in (1..).zip(&parts) {
        table.line(&format!("part {number}: memory, MiB"), one.memory_mib, None)?;
        table.line(&format!("part {number}: runs so far"), one.runs, None)?;
    }
    table.line("last: memory, MiB", last.memory_mib, Some(second.memory_mib * 1.1 + 1.0))?;
    table.line("last: open files", last.files, Some(second.files + 3.5))?;
    table.line("last: threads", last.threads, Some(second.threads + 3.5))?;
    table.line("last: connections", last.connections, Some(second.connections + 3.5))?;
    anyhow::ensure!(last.runs > second.runs, "no run ended after the second part");
    Ok(())
}

fn start(database: &Database, url: &str, (folder, port): (&Path, u16)) -> anyhow::Result<Child> {
    let config = folder.join("config.toml");
    fs::write(&config, "[log]\nfilter = \"error\"\n")?;
    let daemon = sanggwond(&["daemon", "--config"])
        .arg(&config)
        .env("DATABASE_URL", &database.url)
        .env("KAKAO_REST_API_KEY", "0123456789abcdef0123456789abcdef")
        .env("SANGGWOND_KAKAO__BASE_URL", url)
        .env("SANGGWOND_KAKAO__BACKOFF", "10ms")
        .env("SANGGWOND_KAKAO__DAILY_QUOTA", "1000000")
        .env("SANGGWOND_CRAWL__PAGE_DELAY", "0s")
        .env("SANGGWOND_CRAWL__COVERAGE", "complete")
        .env("SANGGWOND_SCHEDULE__CRON", CRON)
        .env("SANGGWOND_SCHEDULE__HEARTBEAT", "1s")
        .env("SANGGWOND_OBSERVE__LISTEN", format!("127.0.0.1:{port}"))
        .stdout(std::process::Stdio::null())
        .spawn()?;
    Ok(daemon)
}

async fn look(pid: u32, pool: &PgPool) -> anyhow::Result<Look> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let figure = |name: &str| {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).context("a line of the status is missing")?;
        let number = line.split_whitespace().next().context("a line of the status is empty")?;
        Ok::<f64, anyhow::Error>(number.parse()?)
    };
    let files = u32::try_from(fs::read_dir(format!("/proc/{pid}/fd"))?.count())?;
    let count = |sql: &'static str| sqlx::query_scalar::<_, i32>(sql).fetch_one(pool);
    let sessions = "select count(*)::int from pg_stat_activity
         where datname = current_database() and application_name = 'sanggwond'";
    let runs = "select count(*)::int from crawl_run where status not in ('running', 'interrupted', 'skipped')";
    Ok(Look {
        memory_mib: figure("VmRSS:")? / 1024.0,
        files: files.into(),
        threads: figure("Threads:")?,
        connections: count(sessions).await?.into(),
        runs: count(runs).await.unwrap_or_default().into(),
    })
}

/// The median of the memory, and the maxima of the others.
fn summary(looks: &[Look]) -> Look {
    let mut memory: Vec<f64> = looks.iter().map(|look| look.memory_mib).collect();
    memory.sort_by(f64::total_cmp);
    let most = |of: fn(&Look) -> f64| looks.iter().map(of).fold(0.0, f64::max);
    Look {
        memory_mib: memory.get(memory.len() / 2).copied().unwrap_or_default(),
        files: most(|look| look.files),
        threads: most(|look| look.threads),
        connections: most(|look| look.connections),
        runs: most(|look| look.runs),
    }
}
