//! `crawl`: starts a manual run, or resumes an unfinished run.

mod progress;
mod summary;

use tokio_util::sync::CancellationToken;

use super::{Context, Exit, Format, Misuse, consent};
use crate::app::{self, Database, Equipment, Obstacle};
use crate::clock;
use crate::crawl::review::rules::Guard;
use crate::domain::run::{RunRecord, Scope, Status, Trigger};
use crate::domain::text;
use crate::runner::{self, Assignment, Preview, Report, Request, Retiring, Runner};
use crate::store::{RunLock, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only around stations with this name (repeatable); the suffix 역 may be omitted
    #[arg(long, value_name = "NAME", value_parser = text::name)]
    station: Vec<String>,
    /// Only this keyword (repeatable)
    #[arg(long, value_name = "KEYWORD", value_parser = text::name)]
    keyword: Vec<String>,
    /// Abandon unfinished runs and start a new one; with --station or --keyword, unfinished full runs are kept
    #[arg(long)]
    fresh: bool,
    /// Retire the stations and keywords that were removed from the configuration, and change the radius, without asking
    #[arg(long, conflicts_with_all = ["station", "keyword"])]
    retire: bool,
    /// Count places as missing even if unusually many are not found
    #[arg(long)]
    accept_closings: bool,
    /// The format of the summary
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
    context.backstop.results();
    context.screen.flush();
    summary::show(&report, options.format)?;
    Ok(match report.end.status {
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
    let equipment = Equipment::new(&context.config, &context.stop).await?;
    let mut runner = equipment.runner(&context.config, database.store.clone());
    if options.accept_closings {
        runner.settings.rules.guard = Guard::Down;
    }
    // The answer may take long, so ask before taking the lock.
    let agreed = agree(context, options, &runner).await?;
    runner.settings.retiring = Retiring::Confirmed;
    let mut lock = database.lock().await?;
    let report = under_lock(context, options, (&runner, agreed.as_ref()), &mut lock).await;
    lock.release().await;
    report
}

/// Asks for confirmation if a new full run would remove data; returns what was confirmed.
async fn agree(context: &Context, options: &Options, runner: &Runner) -> anyhow::Result<Option<Preview>> {
    let is_full = options.station.is_empty() && options.keyword.is_empty();
    if !is_full || options.retire || (!options.fresh && !unfinished(&runner.store).await?.is_empty()) {
        return Ok(None);
    }
    let preview = runner.preview().await?;
    if preview.difference.needs_consent() {
        let question = format!("This run would retire or change stored data: {preview}. Go on?");
        consent::ask(context, &question, refusal(&preview)).await?;
    }
    Ok(Some(preview))
}

fn refusal(preview: &Preview) -> String {
    format!(
        "this run would retire or change stored data: {preview}; nothing was changed. Confirm it with --retire, or limit \
         the run with --station or --keyword"
    )
}

async fn under_lock(
    context: &Context,
    options: &Options,
    (runner, agreed): (&Runner, Option<&Preview>),
    lock: &mut RunLock,
) -> anyhow::Result<Report> {
    runner.store.interrupt_crashed_runs(clock::now()).await?;
    runner.store.abandon_outdated_parts(clock::now()).await?;
    let assignment = assignment(options, &runner.store).await?;
    if matches!(&assignment, Assignment::Open(request) if request.scope.is_everything()) && !options.retire {
        let preview = runner.preview().await?;
        if preview.difference.needs_consent() && agreed != Some(&preview) {
            return Err(consent::Needed(refusal(&preview)).into());
        }
    }
    let done = CancellationToken::new();
    let work = async {
        let report = runner.run(lock, &assignment, &context.stop).await;
        done.cancel();
        report
    };
    let (report, ()) = tokio::join!(work, progress::show(runner, &context.bars, &done));
    Ok(report?)
}

/// The run to execute: an unfinished one, unless a partial-scope run or `--fresh` was requested.
async fn assignment(options: &Options, store: &Store) -> anyhow::Result<Assignment> {
    let scope = Scope { stations: options.station.clone(), keywords: options.keyword.clone() };
    let unfinished = unfinished(store).await?;
    if options.fresh {
        // A partial-scope run does not abandon unfinished full runs.
        for run in unfinished.iter().filter(|run| scope.is_everything() || !run.is_full) {
            store.abandon_run(run.id, "abandoned by hand: crawl --fresh", clock::now()).await?;
        }
    } else if let Some(run) = unfinished.first().filter(|_| scope.is_everything()) {
        if options.retire {
            return Err(Misuse("there is an unfinished run; finish it with `sanggwond crawl`, or add --fresh").into());
        }
        return Ok(Assignment::Resume(run.id));
    }
    Ok(Assignment::Open(Request { trigger: Trigger::Manual, scheduled_for: None, scope, late_because: None }))
}

/// The unfinished runs: full runs before partial-scope runs, the newest first.
async fn unfinished(store: &Store) -> anyhow::Result<Vec<RunRecord>> {
    let mut history = store.run_records().await?;
    history.retain(|run| run.status.is_unfinished());
    history.sort_by_key(|run| !run.is_full);
    Ok(history)
}
