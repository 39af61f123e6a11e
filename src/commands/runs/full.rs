//! All details of one run: the columns of its row, its settings, and the cells that failed at least once.

use chrono_tz::Asia::Seoul;
use serde_json::{Map, Value};

use crate::commands::output::print;
use crate::commands::text::visible;
use crate::domain::price::Price;
use crate::domain::words::counted;
use crate::store::{FailureRow, FullRun, RunValue};

/// The cells that failed at least once, by their current status.
struct Failures<'a> {
    failed: Vec<&'a FailureRow>,
    pending: Vec<&'a FailureRow>,
    recovered: Vec<&'a FailureRow>,
}

impl<'a> Failures<'a> {
    fn of(rows: &'a [FailureRow]) -> Self {
        let with = |statuses: &[&str]| rows.iter().filter(|row| statuses.contains(&row.status.as_str())).collect();
        Self { failed: with(&["failed"]), pending: with(&["pending"]), recovered: with(&["done", "split"]) }
    }
}

/// Uses the same column names as the list of runs.
pub(super) fn as_json(full: FullRun, price: Price) -> anyhow::Result<Value> {
    let failures = Failures::of(&full.failures);
    let cells = [
        ("failed_cells", serde_json::to_value(failures.failed)?),
        ("pending_cells", serde_json::to_value(failures.pending)?),
        ("recovered_cells", serde_json::to_value(failures.recovered)?),
    ];
    let cost_won = price.won(requests(&full));
    let columns = full.columns.into_iter().map(|(name, value)| (name, value.into()));
    let others =
        [("duration_s", full.duration_s.into()), ("cost_won", cost_won.into()), ("verdict", full.verdict.into())];
    let others = others.into_iter().chain(cells).map(|(name, value)| (name.to_owned(), value));
    Ok(Value::Object(columns.chain(others).collect::<Map<_, _>>()))
}

pub(super) fn as_text(full: &FullRun, price: Price) -> anyhow::Result<()> {
    line("verdict", &full.verdict)?;
    if !price.is_free() {
        line("cost", &price.cost(requests(full)))?;
    }
    let (settings, columns): (Vec<_>, Vec<_>) = full.columns.iter().partition(|(name, _)| name == "settings");
    for (name, value) in columns {
        if let RunValue::Other(Value::Object(found)) = value
            && name == "canaries"
        {
            canaries(found)?;
        } else {
            line(name, &shown(value))?;
        }
    }
    for (_, settings) in settings {
        if let RunValue::Other(Value::Object(settings)) = settings {
            for (name, value) in settings {
                line(&format!("settings.{name}"), &value.to_string())?;
            }
        }
    }
    let Failures { failed, pending, recovered } = Failures::of(&full.failures);
    cells(&failed, "failed", "failed")?;
    cells(&pending, "failed once and will be retried", "failed")?;
    cells(&recovered, "failed once and recovered", "recovered")
}

/// Prints what the canaries found, one line each.
fn canaries(found: &Map<String, Value>) -> anyhow::Result<()> {
    let findings = found.get("findings").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let requests = counted(found.get("requests").and_then(Value::as_i64).unwrap_or(0), "request", "requests");
    let is_finished = found.get("is_finished").and_then(Value::as_bool).unwrap_or(false);
    let number = match findings {
        [] if !is_finished => "interrupted".to_owned(),
        [] => "the API does what the run relies on".to_owned(),
        findings => counted(i64::try_from(findings.len())?, "finding", "findings"),
    };
    line("canaries", &format!("{requests}: {number}"))?;
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    findings.iter().try_for_each(|finding| {
        let name = format!("canaries.{}", text(finding, "check"));
        line(&name, &format!("{}: {}", text(finding, "consequence").replace('_', " "), text(finding, "text")))
    })
}

/// The requests of the run, from its column.
fn requests(full: &FullRun) -> i64 {
    let column = full.columns.iter().find(|(name, _)| name == "requests");
    match column {
        Some((_, RunValue::Other(value))) => value.as_i64().unwrap_or(0),
        _ => 0,
    }
}

fn line(name: &str, value: &str) -> anyhow::Result<()> {
    print(&format!("{name:<28}  {}", visible(value)))
}

fn shown(value: &RunValue) -> String {
    match value {
        RunValue::Instant(instant) => instant.with_timezone(&Seoul).format("%Y-%m-%d %H:%M:%S Seoul").to_string(),
        RunValue::Other(Value::Null) => "–".to_owned(),
        RunValue::Other(Value::String(text)) => text.clone(),
        RunValue::Other(value) => value.to_string(),
    }
}

/// Prints a heading with the number of cells, and one line per cell.
fn cells(cells: &[&FailureRow], what_happened: &str, outcome: &str) -> anyhow::Result<()> {
    if !cells.is_empty() {
        print(&format!("\n{} {what_happened}:", counted(i64::try_from(cells.len())?, "cell", "cells")))?;
    }
    for cell in cells {
        let error = cell.error.as_deref().unwrap_or("no error recorded");
        let requests = counted(cell.attempts.into(), "request", "requests");
        line(
            &format!("cell {}", cell.cell_no),
            &format!("{}, {}: {outcome} after {requests}: {error}", cell.keyword, cell.area),
        )?;
    }
    Ok(())
}
