//! `runs`: the history.

use std::time::Duration;

use super::{Context, Exit, Format, print};
use crate::app::Database;
use crate::store::HistoryRow;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many runs, the newest first
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// How they are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let history = history(&database, options).await;
    database.close().await;
    let history = history?;
    match options.format {
        Format::Json => print(&serde_json::to_string(&history)?),
        Format::Text if history.is_empty() => print("no runs yet"),
        Format::Text => table(&history),
    }
    Ok(Exit::Done)
}

async fn history(database: &Database, options: &Options) -> anyhow::Result<Vec<HistoryRow>> {
    database.require_tables().await?;
    Ok(database.store.history(i64::from(options.limit), false).await?)
}

fn table(history: &[HistoryRow]) {
    print(
        "  run  started (Seoul)      trigger   status       duration   cells done  requests     new  changed  verdict",
    );
    for row in history {
        let duration = Duration::from_secs_f64(row.duration_s.max(0.0));
        print(&format!(
            "{:>5}  {}  {:<8}  {:<11}  {:>8}  {:>11}  {:>8}  {:>6}  {:>7}  {}",
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
            row.verdict,
        ));
    }
}
