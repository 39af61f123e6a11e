//! `runs`: shows the run history, or all details of one run.

mod follow;
mod full;
mod list;

use anyhow::Context as _;
use serde::Serialize;

use super::output::{CsvWriter, Dialect, csv_row, print, print_json, reading, reading_for_long, stdout};
use super::{Context, Exit, Misuse, TableFormat, exit_of_run};
use crate::app::Database;
use crate::clock;
use crate::domain::price::Price;
use crate::domain::quota::day_of;
use crate::domain::run::RunId;
use crate::domain::words::count;
use crate::store::HistoryRow;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Show all details of this run
    #[arg(value_name = "ID")]
    run: Option<i64>,
    /// Maximum number of runs, the newest first
    #[arg(long, default_value_t = 20, conflicts_with = "run")]
    limit: u32,
    /// Only runs that failed, are partial or were interrupted
    #[arg(long, conflicts_with = "run")]
    failed: bool,
    /// Show the run at work, live, until it ends; without one, wait for the next run
    #[arg(long, conflicts_with_all = ["run", "limit", "failed", "format"])]
    follow: bool,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: TableFormat,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    if options.run.is_some() && options.format == TableFormat::Csv {
        return Err(Misuse("one run in full is not a table: --format text or json").into());
    }
    if options.follow {
        return reading_for_long(context, async |database| Ok(exit_of_run(follow::follow(database).await?))).await;
    }
    let price = context.config.kakao.price_won;
    reading(context, async |database| show(database, options, price).await.map(|()| Exit::Done)).await
}

async fn show(database: &Database, options: &Options, price: Price) -> anyhow::Result<()> {
    if let Some(run) = options.run {
        let full = database.store.full_run(RunId(run)).await?;
        let full =
            full.with_context(|| format!("there is no run {run}; `sanggwond runs` shows those that are kept"))?;
        return match options.format {
            TableFormat::Json => print_json(&full::as_json(full, price)?),
            TableFormat::Text | TableFormat::Csv => full::as_text(&full, price),
        };
    }
    let history = database.store.history(i64::from(options.limit), options.failed).await?;
    let costed = |row| Costed { row, cost_won: price.won(row.requests) };
    match options.format {
        TableFormat::Json => print_json(&history.iter().map(costed).collect::<Vec<_>>()),
        TableFormat::Csv => as_csv(history.iter().map(costed)),
        TableFormat::Text if history.is_empty() => print(if options.failed { "no such runs" } else { "no runs yet" }),
        TableFormat::Text => {
            list::show(&history, price)?;
            if price.is_free() {
                return Ok(());
            }
            let used = database.store.usage(day_of(clock::now())).await?;
            print(&format!("this month: {} requests, {}", count(used.this_month), price.cost(used.this_month)))
        }
    }
}

/// A run with its cost.
#[derive(Serialize)]
struct Costed<'a> {
    #[serde(flatten)]
    row: &'a HistoryRow,
    cost_won: f64,
}

fn as_csv<'a>(history: impl Iterator<Item = Costed<'a>>) -> anyhow::Result<()> {
    let columns: Vec<&str> = HistoryRow::COLUMNS.into_iter().chain(["cost_won"]).collect();
    let mut to = CsvWriter::new(stdout(), Dialect::Exact)?;
    to.row(&columns)?;
    for row in history {
        to.row(csv_row(&row, &columns)?)?;
    }
    Ok(to.finish()?)
}
