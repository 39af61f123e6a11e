//! How well a crawl by station uses the requests that may be in flight: its duration, compared with the server's own time.
//!
//! The server's time is that of the stand-in, from the arrival of a request to the last byte of its response. The time that
//! the client sees would not do: it grows with the client's own delays.

use sanggwond::domain::station::Station;

use crate::crawl::{Crawl, Crawled};
use crate::database::Database;
use crate::table::Table;

/// Maximum memory of a crawl by station in MiB.
const MAX_MIB: f64 = 36.0;

/// Maximum processor time per page in milliseconds.
const MAX_CPU_MS: f64 = 0.3;

/// One latency of the server, with one number of requests in flight.
struct Case {
    latency: &'static str,
    in_flight: u32,
    /// One in this many stations of the station file is crawled.
    one_in: usize,
    /// Maximum of elapsed ÷ (server's time ÷ in flight). `None` with 50 requests in flight: the processors that the binary,
    /// PostgreSQL and the stand-in share are the limit then, so the figure of the empty world is the floor.
    most: Option<f64>,
}

/// The cases. The third has fewer stations, because it would take five minutes.
const CASES: [Case; 4] = [
    Case { latency: "20ms", in_flight: 5, one_in: 1, most: Some(1.05) },
    Case { latency: "20ms", in_flight: 50, one_in: 1, most: None },
    Case { latency: "100ms", in_flight: 5, one_in: 5, most: Some(1.02) },
    Case { latency: "100ms", in_flight: 50, one_in: 1, most: None },
];

/// Measures all cases: the first run of a database, a second one, and a run in a world without places.
pub(crate) async fn measure(table: &mut Table, all: &[Station]) -> anyhow::Result<()> {
    for case in CASES {
        let Case { latency, in_flight, one_in, .. } = case;
        let stations = all.len() / one_in;
        let title =
            format!("{} cells, latency {latency}, page delay 1 s, {in_flight} requests in flight", stations * 10);
        table.section(
            &title,
            "Elapsed is the binary's own, the server's time is the stand-in's, CPU is user + system of the binary, memory is \
             its VmHWM. The empty world shows what one request costs, without places to write and without page delays.",
        )?;
        let crawl = Crawl { stations, latency, in_flight, page_delay: "1s", ..Crawl::AT_ONCE };
        let empty = Crawl { places: 0, ..crawl }.run().await?;
        case.print(table, "empty world", &empty, None)?;
        let first = crawl.run_into(Database::fresh().await).await?;
        case.print(table, "first run", &first, case.most)?;
        let second = crawl.run_into(first.database).await?;
        case.print(table, "second run", &second, case.most)?;
    }
    Ok(())
}

impl Case {
    fn print(&self, table: &mut Table, name: &str, crawled: &Crawled, most: Option<f64>) -> anyhow::Result<()> {
        let mut line = |what: &str, value, limit| table.line(&format!("{name}: {what}"), value, limit);
        line("elapsed ÷ (server ÷ n)", crawled.slowness(self.in_flight), most)?;
        line("first to last request", crawled.slowness_between_requests(self.in_flight), None)?;
        line("elapsed, s", crawled.summary.elapsed_s, None)?;
        line("requests", crawled.served.requests.into(), None)?;
        line("server's time, ms", crawled.served.busy_s * 1000.0 / f64::from(crawled.served.requests), None)?;
        // In a short run the start takes a large part of the processor time.
        let max_cpu_ms = most.filter(|_| self.one_in == 1).map(|_| MAX_CPU_MS);
        line("CPU per page, ms", crawled.cpu_ms_per_page(), max_cpu_ms)?;
        line("peak memory, MiB", crawled.peak_mib, most.map(|_| MAX_MIB))
    }
}
