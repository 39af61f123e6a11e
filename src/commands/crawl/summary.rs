//! The summary at the end of a crawl: counts, status, and where to find details.

use serde_json::json;

use crate::commands::Format;
use crate::commands::output::{print, print_json};
use crate::domain::run::Status;
use crate::domain::words::counted;
use crate::runner::Report;

pub(super) fn show(report: &Report, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Text => lines(report).iter().try_for_each(|line| print(line)),
        Format::Json => print_json(&as_json(report)),
    }
}

fn lines(report: &Report) -> [String; 7] {
    let Report { run, end, counts, elapsed, in_requests, is_database_lost: _ } = report;
    let reason = end.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let seconds = elapsed.as_secs_f64();
    // A split cell counts as done, because its sub-rectangles are separate cells.
    let split = match counts.cells_split {
        0 => String::new(),
        split => format!(" ({split} of them split into smaller ones)"),
    };
    let rejected = match counts.documents_rejected {
        0 => String::new(),
        some => format!("; {} rejected", counted(some, "document", "documents")),
    };
    let cut = match counts.texts_cut {
        0 => String::new(),
        some => format!("; {} cut", counted(some, "text", "texts")),
    };
    let next = match end.status {
        Status::Cancelled => "it is not resumed; `sanggwond runs` shows the history",
        Status::Interrupted => "`sanggwond crawl` resumes it; `sanggwond runs` shows the history",
        Status::Partial | Status::Failed => {
            "`sanggwond runs` shows the history, the view run_failure shows each failed cell"
        }
        Status::Succeeded | Status::Running | Status::Skipped => {
            "`sanggwond runs` shows the history, the view local_info shows the places"
        }
    };
    [
        format!("run {run} {}{reason}", end.status),
        format!(
            "cells     {} of {} done{split}, {} failed, {} truncated by the API's 45-result limit",
            counts.cells_done + counts.cells_split,
            counts.cells_total,
            counts.cells_failed,
            counts.cells_truncated
        ),
        format!(
            "requests  {} sent, {} of them repeated, {} throttled",
            counts.requests, counts.retries, counts.throttled
        ),
        format!(
            "places    {} seen, {} new, {} changed{rejected}{cut}",
            counts.places_seen, counts.places_new, counts.places_changed
        ),
        format!(
            "missing   {} known places not found, {} closed, {} reopened",
            counts.places_missed, counts.places_closed, counts.places_reopened
        ),
        format!("time      {seconds:.1} s, {:.1} requests in flight on average", in_requests.as_secs_f64() / seconds),
        next.to_owned(),
    ]
}

fn as_json(report: &Report) -> serde_json::Value {
    let Report { run, end, counts, elapsed, in_requests, is_database_lost: _ } = report;
    json!({
        "crawl_run_id": run.0,
        "status": end.status.as_str(),
        "reason": end.reason,
        "cells_total": counts.cells_total,
        "cells_done": counts.cells_done,
        "cells_split": counts.cells_split,
        "cells_failed": counts.cells_failed,
        "cells_truncated": counts.cells_truncated,
        "requests": counts.requests,
        "retries": counts.retries,
        "throttled": counts.throttled,
        "documents_rejected": counts.documents_rejected,
        "texts_cut": counts.texts_cut,
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
