//! `crawl`: one run by hand, or the rest of an unfinished one.

mod progress;
mod summary;

use tokio_util::sync::CancellationToken;

use super::{Context, Exit, Format};
use crate::app::{self, Database, Equipment, Obstacle};
use crate::clock;
use crate::crawl::review::Guard;
use crate::domain::run::{RunId, Scope, Status, Trigger};
use crate::runner::{self, Assignment, Report, Runner};
use crate::store::{RunLock, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only around stations of this name (repeatable); the suffix 역 may be left out
    #[arg(long, value_name = "NAME")]
    station: Vec<String>,
    /// Only this keyword (repeatable)
    #[arg(long, value_name = "KEYWORD")]
    keyword: Vec<String>,
    /// Give up what is unfinished and begin anew
    #[arg(long)]
    fresh: bool,
    /// Believe it where many places are not found, and count them as gone
    #[arg(long)]
    accept_closings: bool,
    /// How the summary is printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    app::api_key(&context.config)?;
    let database = Database::open(&context.config, context.is_demo).await?;
    let report = crawl(context, options, &database).await;
    database.close().await;
    let report = match report {
        Ok(report) => report,
        Err(error) if is_stopped(&error) => return Ok(Exit::Interrupted),
        Err(error) => return Err(error),
    };
    summary::show(&report, options.format);
    Ok(match report.closing.status {
        Status::Succeeded => Exit::Done,
        Status::Partial => Exit::Partial,
        Status::Interrupted | Status::Running => Exit::Interrupted,
        Status::Failed | Status::Skipped => Exit::Failed,
    })
}

fn is_stopped(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(runner::Error::Stopped))
        || matches!(error.downcast_ref(), Some(Obstacle::Stopped))
}

async fn crawl(context: &Context, options: &Options, database: &Database) -> anyhow::Result<Report> {
    database.migrate(&context.stop).await?;
    let mut runner = Equipment::new(&context.config)?.runner(&context.config, database.store.clone());
    if options.accept_closings {
        runner.settings.rules.guard = Guard::Down;
    }
    let Some(mut lock) = database.store.try_lock().await? else { return Err(Obstacle::Busy.into()) };
    let report = under_lock(context, options, &runner, &mut lock).await;
    lock.release().await;
    report
}

async fn under_lock(
    context: &Context,
    options: &Options,
    runner: &Runner,
    lock: &mut RunLock,
) -> anyhow::Result<Report> {
    runner.store.bury_dead_runs(clock::now()).await?;
    let scope = Scope { stations: options.station.clone(), keywords: options.keyword.clone() };
    let unfinished = unfinished(&runner.store).await?;
    let assignment = if options.fresh {
        for run in unfinished {
            runner.store.give_up_run(run, "given up by hand: crawl --fresh", clock::now()).await?;
        }
        None
    } else {
        // A part that is asked for by name is what is wanted now.
        unfinished.first().filter(|_| scope.is_everything()).map(|run| Assignment::Resume(*run))
    };
    let assignment = assignment.unwrap_or(Assignment::Open { trigger: Trigger::Manual, scheduled_for: None, scope });
    let done = CancellationToken::new();
    let work = async {
        let report = runner.run(lock, &assignment, &context.stop).await;
        done.cancel();
        report
    };
    let (report, ()) = tokio::join!(work, progress::show(runner, &context.bars, &done));
    Ok(report?)
}

/// The unfinished runs, full ones before parts, the newest first.
async fn unfinished(store: &Store) -> anyhow::Result<Vec<RunId>> {
    let mut history = store.run_records().await?;
    history.retain(|run| run.status.is_unfinished());
    history.sort_by_key(|run| !run.is_full);
    Ok(history.into_iter().map(|run| run.id).collect())
}
