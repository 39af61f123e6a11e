//! What is said at the end of a crawl: what was fetched, new, changed, failed, and where to look.

use serde_json::json;

use crate::commands::{Format, print};
use crate::domain::run::Status;
use crate::runner::Report;

pub(super) fn show(report: &Report, format: Format) {
    match format {
        Format::Text => tell(report),
        Format::Json => print(&as_json(report).to_string()),
    }
}

fn tell(report: &Report) {
    let Report { run, closing, counts, elapsed, in_requests } = report;
    let reason = closing.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let seconds = elapsed.as_secs_f64();
    print(&format!("run {run} {}{reason}", closing.status));
    let split = if counts.cells_split > 0 { format!(", {} divided", counts.cells_split) } else { String::new() };
    print(&format!(
        "cells     {} of {} done{split}, {} failed, {} cut off by the API at what it shows of a search",
        counts.cells_done, counts.cells_total, counts.cells_failed, counts.cells_truncated
    ));
    print(&format!(
        "requests  {} sent, {} of them repeated, {} throttled",
        counts.requests, counts.retries, counts.throttled
    ));
    print(&format!(
        "places    {} seen, {} new, {} changed; {} documents left out",
        counts.places_seen, counts.places_new, counts.places_changed, counts.documents_rejected
    ));
    print(&format!(
        "missing   {} looked for and not found, {} closed, {} reopened",
        counts.places_missed, counts.places_closed, counts.places_reopened
    ));
    print(&format!(
        "time      {seconds:.1} s, {:.1} requests in flight on average",
        in_requests.as_secs_f64() / seconds
    ));
    print(match closing.status {
        Status::Interrupted => "`sanggwond crawl` goes on with it; `sanggwond runs` shows the history",
        Status::Partial | Status::Failed => "`sanggwond runs` shows the history, the view run_failure each failed cell",
        Status::Succeeded | Status::Running | Status::Skipped => {
            "`sanggwond runs` shows the history, the view local_info the places"
        }
    });
}

fn as_json(report: &Report) -> serde_json::Value {
    let Report { run, closing, counts, elapsed, in_requests } = report;
    json!({
        "crawl_run_id": run.0,
        "status": closing.status.as_str(),
        "reason": closing.reason,
        "cells_total": counts.cells_total,
        "cells_done": counts.cells_done,
        "cells_split": counts.cells_split,
        "cells_failed": counts.cells_failed,
        "cells_truncated": counts.cells_truncated,
        "requests": counts.requests,
        "retries": counts.retries,
        "throttled": counts.throttled,
        "documents_rejected": counts.documents_rejected,
        "places_seen": counts.places_seen,
        "places_new": counts.places_new,
        "places_changed": counts.places_changed,
        "places_missed": counts.places_missed,
        "places_closed": counts.places_closed,
        "places_reopened": counts.places_reopened,
        "elapsed_s": elapsed.as_secs_f64(),
        "in_requests_s": in_requests.as_secs_f64(),
    })
}
