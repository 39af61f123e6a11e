//! What a crawl costs, and what readers wait for: `cargo bench` measures the release binary, and fails where a limit is
//! broken. `cargo bench -- crawl` and `cargo bench -- reading` do one of both.
//!
//! The stand-in of the API is a process of its own, so that its work is not counted. It shares the machine's processors
//! with the binary and with PostgreSQL, whose fsync is off unless `DATABASE_URL` names a server: rates compare with each
//! other, not with a database in service.

#[path = "../support/database.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "made for tests, which fail by panicking")]
mod database;
#[path = "../support/server.rs"]
#[expect(clippy::unwrap_used, dead_code, reason = "made for tests, which fail by panicking")]
mod server;

mod bare;
mod complete;
mod crawl;
mod reading;
mod requests;
mod table;
mod weeks;

use std::process::ExitCode;

use sanggwond::domain::station::Station;
use sanggwond::stations;

use crawl::{Crawl, Crawled};
use table::Table;

/// The memory that no crawl needs.
const MAX_MIB: f64 = 40.0;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    // `cargo test --all-targets` runs benches, too, with the slow binary.
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
        for places in [100_000, 200_000] {
            complete::compare(&mut table, &all, places).await?;
        }
    }
    if is_wanted("reading") {
        reading::measure(&mut table, &all).await?;
    }
    Ok(if table.is_within_limits() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All that is measured of crawls.
async fn crawls(table: &mut Table, all: &[Station]) -> anyhow::Result<()> {
    // First, because what others have freed would not count.
    complete::planning(table, all)?;
    latency(table).await?;
    speed(table, all).await?;
    memory(table, all).await
}

/// How well a crawl uses the requests that it may have in flight, and what its pages cost.
async fn latency(table: &mut Table) -> anyhow::Result<()> {
    let slow_api = Crawl { stations: 200, latency: "50ms", ..Crawl::AT_ONCE };
    let five = slow_api.run().await?;
    table.section(
        "2,000 cells, answers after 50 ms, 5 requests in flight",
        "Times are the binary's own (crawl --format json), CPU is user + system from /proc/<pid>/stat at its end, memory \
         is VmHWM from /proc/<pid>/status, rows are those of place, place_keyword, listing and crawl_cell.",
    )?;
    let ideal_s = five.summary.in_requests_s / 5.0;
    table.line("elapsed ÷ (time in requests ÷ 5)", five.summary.elapsed_s / ideal_s, Some(1.05))?;
    table.line("CPU per page, ms", five.cpu_ms_per_page(), Some(0.7))?;
    table.line("peak memory, MiB", five.peak_mib, Some(MAX_MIB))?;
    table.line("pages", five.summary.requests.into(), None)?;
    table.line("elapsed, s", five.summary.elapsed_s, None)?;
    table.line("rows written per second", five.rows_per_second(five.rows().await?), None)?;

    let one = Crawl { in_flight: 1, ..slow_api }.run().await?;
    table.section(
        "The same with 1 request in flight",
        "As the system that this one replaces began; both elapsed times are the binary's own.",
    )?;
    table.line("elapsed, s", one.summary.elapsed_s, None)?;
    table.line("1 in flight ÷ 5 in flight", one.summary.elapsed_s / five.summary.elapsed_s, None)
}

/// How fast a crawl gets where the API holds nothing back, and what it asks for.
async fn speed(table: &mut Table, all: &[Station]) -> anyhow::Result<()> {
    let full = Crawl { stations: all.len(), in_flight: 64, ..Crawl::AT_ONCE }.run().await?;
    compare_writing(table, &full).await?;

    let asked = requests::count(all)?;
    anyhow::ensure!(
        asked.by_station == full.summary.requests,
        "the world shows {} pages, but {} were read",
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

/// Whether memory grows with the crawl, with as many requests in flight as there are by default.
async fn memory(table: &mut Table, all: &[Station]) -> anyhow::Result<()> {
    let full = Crawl { stations: all.len(), ..Crawl::AT_ONCE };
    let [least_mib, _, part_mib, _, most_mib] = short_peaks_mib(Crawl { stations: 50, ..full }).await?;
    let full = full.run().await?;
    table.section(
        "Memory does not grow with the crawl",
        "VmHWM of a crawl of all stations next to the median of five crawls of 50 stations, 5 requests in flight, answers \
         at once; a short crawl varies by up to a tenth.",
    )?;
    table.line("500 cells, the least, MiB", least_mib, None)?;
    table.line("500 cells, the median, MiB", part_mib, None)?;
    table.line("500 cells, the most, MiB", most_mib, Some(MAX_MIB))?;
    table.line("9,410 cells, MiB", full.peak_mib, Some(MAX_MIB))?;
    table.line("9,410 cells ÷ the median", full.peak_mib / part_mib, Some(1.15))
}

/// The peaks of five short crawls, the least first.
async fn short_peaks_mib(crawl: Crawl) -> anyhow::Result<[f64; 5]> {
    let mut peaks_mib = [0.0; 5];
    for peak_mib in &mut peaks_mib {
        *peak_mib = crawl.run().await?.peak_mib;
    }
    peaks_mib.sort_by(f64::total_cmp);
    Ok(peaks_mib)
}

async fn compare_writing(table: &mut Table, full: &Crawled) -> anyhow::Result<()> {
    // Without the ledger, which a bare upsert has no use for.
    let bare = bare::upsert(&full.database.pool).await?;
    let (crawled, upserted) = (full.rows_per_second(bare.rows), bare.rows / bare.elapsed_s);
    table.section(
        "9,410 cells, answers at once, 64 requests in flight",
        "Rows are those of place, place_keyword and listing; the bare upsert writes the same rows, read back from the crawled \
         database, into the emptied tables of the same server, 1,000 a statement.",
    )?;
    table.line("elapsed, s", full.summary.elapsed_s, None)?;
    table.line("CPU per page, ms", full.cpu_ms_per_page(), None)?;
    table.line("rows per second, crawl", crawled, None)?;
    table.line("rows per second, bare upsert", upserted, None)?;
    table.line("crawl ÷ bare upsert", crawled / upserted, None)
}
