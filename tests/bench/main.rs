//! Benchmarks of crawls and of read queries. `cargo bench` measures the release binary and fails if a limit is exceeded.
//! `cargo bench -- crawl` runs one part; the parts are `crawl`, `weeks`, `complete` and `reading`, and `soak`, which takes an hour
//! and runs only if it is named.
//!
//! The stand-in of the API runs in a separate process, so that its work is not measured. It shares the processors with the
//! binary and with PostgreSQL. PostgreSQL runs with `fsync = off` unless `DATABASE_URL` is set, so the rates are comparable
//! with each other, but not with those of a production database.

#[path = "../support/database.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "written for tests, which fail by panicking")]
mod database;
#[path = "../support/server.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "written for tests, which fail by panicking")]
mod server;

mod bare;
mod complete;
mod crawl;
mod reading;
mod requests;
mod slots;
mod soak;
mod table;
mod weeks;

use std::process::ExitCode;

use sanggwond::domain::station::Station;
use sanggwond::stations;

use crawl::{Crawl, Crawled};
use table::Table;

/// Maximum memory of a crawl in MiB.
const MAX_MIB: f64 = 40.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    // `cargo test --all-targets` runs benchmarks as well, with the debug binary.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(ExitCode::SUCCESS);
    }
    let is_wanted = |part: &str| {
        let mut wanted = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
        wanted.peek().is_none() || wanted.any(|wanted| wanted == part)
    };
    let mut table = Table::default();
    let (all, _) = stations::load(None)?;
    if is_wanted("crawl") {
        crawls(&mut table, &all).await?;
    }
    if is_wanted("weeks") {
        weeks::compare(&mut table, &all).await?;
    }
    if is_wanted("complete") {
        for world in complete::WORLDS {
            complete::compare(&mut table, &all, world).await?;
        }
    }
    if is_wanted("reading") {
        reading::measure(&mut table, &all).await?;
    }
    if std::env::args().any(|argument| argument == "soak") {
        soak::measure(&mut table).await?;
    }
    Ok(if table.is_within_limits() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All benchmarks of crawls.
async fn crawls(table: &mut Table, all: &[Station]) -> anyhow::Result<()> {
    // This must come first: memory that other benchmarks have freed would be reused and not measured.
    complete::planning(table, all)?;
    slots::measure(table, all).await?;
    speed(table, all).await?;
    memory(table, all).await
}

/// The speed of a crawl when the API responds immediately, and its number of requests.
async fn speed(table: &mut Table, all: &[Station]) -> anyhow::Result<()> {
    let full = Crawl { stations: all.len(), in_flight: 64, ..Crawl::AT_ONCE }.run().await?;
    compare_writing(table, &full).await?;

    let asked = requests::count(all)?;
    anyhow::ensure!(
        asked.by_station == full.summary.requests,
        "the world has {} pages, but {} were read",
        asked.by_station,
        full.summary.requests
    );
    table.section(
        "Requests of the crawl above",
        "Next to the pages that the same world shows for one search per keyword and row of the station file, at most 3 \
         a search.",
    )?;
    table.line("one search per station", asked.by_station.into(), None)?;
    table.line("one search per row", asked.by_row.into(), None)?;
    table.line("per station ÷ per row", f64::from(asked.by_station) / f64::from(asked.by_row), Some(1.0))
}

/// Whether memory grows with the size of the crawl, with the default number of requests in flight.
async fn memory(table: &mut Table, all: &[Station]) -> anyhow::Result<()> {
    let full = Crawl { stations: all.len(), ..Crawl::AT_ONCE };
    let [least_mib, _, part_mib, _, most_mib] = short_peaks_mib(Crawl { stations: 50, ..full }).await?;
    let full = full.run().await?;
    table.section(
        "Memory hardly grows with the crawl",
        "VmHWM of a crawl of all stations next to the median of five crawls of 50 stations, 5 requests in flight, answers \
         at once; a short crawl varies by up to a tenth. The queue holds each cell, in about 0.7 kB; places are held up to a \
         fixed limit, which only the long crawl reaches.",
    )?;
    table.line("500 cells, minimum, MiB", least_mib, None)?;
    table.line("500 cells, median, MiB", part_mib, None)?;
    table.line("500 cells, maximum, MiB", most_mib, Some(MAX_MIB))?;
    table.line("9,410 cells, MiB", full.peak_mib, Some(MAX_MIB))?;
    table.line("9,410 cells ÷ median", full.peak_mib / part_mib, Some(1.75))
}

/// The memory peaks of five short crawls, in ascending order.
async fn short_peaks_mib(crawl: Crawl) -> anyhow::Result<[f64; 5]> {
    let mut peaks_mib = [0.0; 5];
    for peak_mib in &mut peaks_mib {
        *peak_mib = crawl.run().await?.peak_mib;
    }
    peaks_mib.sort_by(f64::total_cmp);
    Ok(peaks_mib)
}

async fn compare_writing(table: &mut Table, full: &Crawled) -> anyhow::Result<()> {
    // Without the rows of `crawl_cell`, which the bare upsert does not write.
    let bare = bare::upsert(&full.database.pool).await?;
    let (crawled, upserted) = (full.rows_per_second(bare.rows), bare.rows / bare.elapsed_s);
    table.section(
        "9,410 cells, no latency, 64 requests in flight",
        "Rows are those of place, place_keyword and listing; the bare upsert writes the same rows, read back from the crawled \
         database, into the emptied tables of the same server, 1,000 a statement.",
    )?;
    table.line("elapsed, s", full.summary.elapsed_s, None)?;
    table.line("CPU per page, ms", full.cpu_ms_per_page(), None)?;
    table.line("rows per second, crawl", crawled, None)?;
    table.line("rows per second, bare upsert", upserted, None)?;
    table.line("crawl ÷ bare upsert", crawled / upserted, None)
}
