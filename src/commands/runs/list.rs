//! The run history as a table: one line per run.

use std::time::Duration;

use chrono_tz::Asia::Seoul;
use serde_json::Value;

use crate::commands::output::{print, width};
use crate::commands::table::{Column, lines};
use crate::commands::text::visible;
use crate::domain::price::Price;
use crate::domain::words::{counted, first_few};
use crate::store::HistoryRow;

const COLUMNS: [Column; 11] = [
    Column::number("run", 0),
    Column::text("started (Seoul)", 0),
    Column::text("trigger", 5),
    Column::text("status", 0),
    Column::number("duration", 1),
    Column::number("cells done", 2),
    Column::number("requests", 7),
    Column::number("new", 3),
    Column::number("changed", 6),
    Column::number("closed", 4),
    Column::text("verdict", 0),
];

/// Prints the table; with costs if requests cost anything.
pub(super) fn show(history: &[HistoryRow], price: Price) -> anyhow::Result<()> {
    let costs = |row: &HistoryRow| {
        if price.is_free() { String::new() } else { format!(" ({})", price.cost(row.requests)) }
    };
    let requests = |row: &HistoryRow| format!("{}{}", row.requests, costs(row));
    let rows: Vec<_> = history.iter().map(|of| row(of, requests(of))).collect();
    lines(&COLUMNS, &rows, width()).iter().try_for_each(|line| print(line))
}

fn row(row: &HistoryRow, requests: String) -> [String; 11] {
    let duration = Duration::try_from_secs_f64(row.duration_s).unwrap_or_default();
    [
        row.crawl_run_id.to_string(),
        row.started_at.with_timezone(&Seoul).format("%Y-%m-%d %H:%M:%S").to_string(),
        row.trigger.clone(),
        row.status.clone(),
        humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string(),
        // A split cell counts as done.
        format!("{}/{}", row.cells_done + row.cells_split, row.cells_total),
        requests,
        row.places_new.to_string(),
        row.places_changed.to_string(),
        row.places_closed.to_string(),
        visible(&verdict(row)).into_owned(),
    ]
}

/// The verdict, with the limits of a partial-scope run and the number of rejected documents, if any.
fn verdict(row: &HistoryRow) -> String {
    let limit = row.scope.as_ref().map(limit).unwrap_or_default();
    let rejected = match row.documents_rejected {
        0 => String::new(),
        some => format!("; {} rejected", counted(some, "document", "documents")),
    };
    let cut = match row.texts_cut {
        0 => String::new(),
        some => format!("; {} cut", counted(some, "text", "texts")),
    };
    format!("{limit}{}{rejected}{cut}", row.verdict)
}

/// What a run was limited to, from its column `scope`.
fn limit(scope: &Value) -> String {
    let names = |key: &str| {
        let names: Vec<&str> = scope[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        (!names.is_empty()).then(|| first_few(&names))
    };
    let failed = scope["failed_cells_of"].as_i64().map(|run| format!("the failed cells of run {run}"));
    let parts = ["stations", "keywords"].into_iter().filter_map(names).chain(failed).collect::<Vec<_>>();
    format!("limited to {}: ", parts.join("; "))
}
