//! `runs`: the history, and one run in full.

use std::time::Duration;

use anyhow::Context as _;

use super::output::{csv_writer, is_reader_gone, stdout};
use super::{Context, Exit, Misuse, TableFormat, print, words};
use crate::app::Database;
use crate::domain::run::RunId;
use crate::store::{FullRun, HistoryRow};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// One run, in full
    #[arg(value_name = "ID")]
    run: Option<i64>,
    /// How many runs, the newest first
    #[arg(long, default_value_t = 20, conflicts_with = "run")]
    limit: u32,
    /// Only runs that failed, are partial or were interrupted
    #[arg(long, conflicts_with = "run")]
    failed: bool,
    /// How they are printed
    #[arg(long, value_enum, default_value_t)]
    format: TableFormat,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    if options.run.is_some() && options.format == TableFormat::Csv {
        return Err(Misuse("one run in full is no table: --format text or json").into());
    }
    let database = Database::open(&context.config, context.is_demo).await?;
    let shown = show(&database, options).await;
    database.close().await;
    match shown {
        Err(error) if is_reader_gone(&error) => Ok(Exit::Done),
        shown => shown.map(|()| Exit::Done),
    }
}

async fn show(database: &Database, options: &Options) -> anyhow::Result<()> {
    database.require_tables().await?;
    if let Some(run) = options.run {
        let full = database.store.full_run(RunId(run)).await?;
        let full =
            full.with_context(|| format!("there is no run {run}; `sanggwond runs` shows those that are kept"))?;
        match options.format {
            TableFormat::Json => print(&as_json(full)?.to_string()),
            TableFormat::Text | TableFormat::Csv => in_full(&full),
        }
        return Ok(());
    }
    let history = database.store.history(i64::from(options.limit), options.failed).await?;
    match options.format {
        TableFormat::Json => print(&serde_json::to_string(&history)?),
        TableFormat::Csv => as_csv(&history)?,
        TableFormat::Text if history.is_empty() => print(if options.failed { "no such runs" } else { "no runs yet" }),
        TableFormat::Text => table(&history),
    }
    Ok(())
}

fn table(history: &[HistoryRow]) {
    print(
        "  run  started (Seoul)      trigger   status       duration   cells done  requests     new  changed  closed  verdict",
    );
    for row in history {
        let duration = Duration::from_secs_f64(row.duration_s.max(0.0));
        print(&format!(
            "{:>5}  {}  {:<8}  {:<11}  {:>8}  {:>11}  {:>8}  {:>6}  {:>7}  {:>6}  {}",
            row.crawl_run_id,
            row.started.format("%Y-%m-%d %H:%M:%S"),
            row.trigger,
            row.status,
            humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string(),
            // A cell that was divided is seen to, too.
            format!("{}/{}", row.cells_done + row.cells_split, row.cells_total),
            row.requests,
            row.places_new,
            row.places_changed,
            row.places_closed,
            words(&row.verdict),
        ));
    }
}

fn as_csv(history: &[HistoryRow]) -> anyhow::Result<()> {
    // The header is there without rows, too, so it is not left to the first one.
    let mut to = csv_writer(stdout());
    to.write_record(HistoryRow::COLUMNS)?;
    for row in history {
        to.serialize(row)?;
    }
    Ok(to.flush()?)
}

fn as_json(full: FullRun) -> anyhow::Result<serde_json::Value> {
    let mut row = full.row;
    row["verdict"] = full.verdict.into();
    row["failed_cells"] = serde_json::to_value(full.failures)?;
    Ok(row)
}

/// The columns of its row, its settings, and its failed cells.
fn in_full(full: &FullRun) {
    let line = |key: &str, value: &str| print(&format!("{key:<28}  {}", words(value)));
    line("verdict", &full.verdict);
    for (key, value) in &full.columns {
        line(key, value.as_deref().unwrap_or("–"));
    }
    if let Some(settings) = full.row["settings"].as_object() {
        for (key, value) in settings {
            line(&format!("settings.{key}"), &value.to_string());
        }
    }
    for cell in &full.failures {
        let error = cell.error.as_deref().unwrap_or("–");
        line(
            &format!("cell {}", cell.cell_no),
            &format!("{}, {}: {} after {} requests: {error}", cell.keyword, cell.area, cell.status, cell.attempts),
        );
    }
}
