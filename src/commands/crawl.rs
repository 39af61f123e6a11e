//! `crawl`: starts a manual run, or resumes an unfinished run.

mod progress;
mod summary;

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Context, Exit, Format, Misuse, consent, due, exit_of_run};
use crate::app::{self, Database, Equipment, Obstacle};
use crate::clock;
use crate::crawl::canary::Heed;
use crate::crawl::review::rules::Guard;
use crate::domain::run::{RunId, RunRecord, Scope, Trigger};
use crate::domain::text;
use crate::runner::{self, Assignment, Preview, Report, Request, Retiring, Runner};
use crate::store::{self, RunLock, Store};
use crate::telemetry::chain;

/// How long a database that was lost is waited for, and the pause between two attempts to go on.
const PATIENCE: Duration = Duration::from_mins(10);
const LOCK_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only around stations with this name (repeatable); the suffix 역 may be omitted
    #[arg(long, value_name = "NAME", value_parser = text::name)]
    station: Vec<String>,
    /// Only this keyword (repeatable)
    #[arg(long, value_name = "KEYWORD", value_parser = text::name)]
    keyword: Vec<String>,
    /// Only the failed cells of a run; default: of the last full run that was finished
    #[arg(
        long,
        value_name = "RUN",
        num_args = 0..=1,
        default_missing_value = "last",
        conflicts_with_all = ["station", "keyword", "retire"]
    )]
    failed: Option<FailedOf>,
    /// Give up unfinished runs and start a new one. With --station, --keyword or --failed, unfinished full runs are kept
    #[arg(long)]
    fresh: bool,
    /// Retire the stations and keywords that were removed from the configuration, and change the radius, without asking
    #[arg(long, conflicts_with_all = ["station", "keyword"])]
    retire: bool,
    #[command(flatten)]
    accepted: Accepted,
    /// The format of the summary
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// What the user takes for true, although the program doubts it.
#[derive(Debug, clap::Args)]
struct Accepted {
    /// Count places as missing even if unusually many are not found
    #[arg(long = "accept-closings")]
    closings: bool,
    /// Crawl although the API has changed: what the first requests find is only recorded
    #[arg(long = "accept-drift")]
    drift: bool,
}

/// The run whose failed cells are read again.
#[derive(Clone, Copy, Debug)]
enum FailedOf {
    /// The last full run that was finished.
    Last,
    /// A run.
    Run(RunId),
}

impl FromStr for FailedOf {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "last" => Ok(Self::Last),
            number => number
                .parse()
                .map(|run| Self::Run(RunId(run)))
                .map_err(|_| "write the number of a run, as `sanggwond runs` shows it"),
        }
    }
}

impl Options {
    /// Whether the run is to be limited.
    fn is_limited(&self) -> bool {
        !self.station.is_empty() || !self.keyword.is_empty() || self.failed.is_some()
    }

    /// What the run is limited to.
    async fn scope(&self, store: &Store) -> anyhow::Result<Scope> {
        let failed_cells_of = match self.failed {
            None => None,
            Some(FailedOf::Run(run)) => Some(run),
            Some(FailedOf::Last) => Some(store.last_full_run().await?.context("no full run has been finished yet")?),
        };
        Ok(Scope { stations: self.station.clone(), keywords: self.keyword.clone(), failed_cells_of })
    }
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
    Ok(exit_of_run(report.end.status))
}

fn is_stopped(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(runner::Error::Stopped))
        || matches!(error.downcast_ref(), Some(Obstacle::Stopped))
}

async fn crawl(context: &Context, options: &Options, database: &Database) -> anyhow::Result<Report> {
    database.migrate(&context.stop).await?;
    let equipment = Equipment::new(&context.config, &context.stop).await?;
    let mut runner = equipment.runner(&context.config, database.store.clone());
    if options.accepted.closings {
        runner.settings.rules.guard = Guard::Down;
    }
    if options.accepted.drift && runner.settings.heed == Heed::Obeyed {
        runner.settings.heed = Heed::Recorded;
    }
    // The answer may take long, so ask before taking the lock.
    let agreed = agree(context, options, &runner).await?;
    runner.settings.retiring = Retiring::Confirmed;
    let mut lock = database.lock().await?;
    let began = clock::now();
    let report = match under_lock(options, (&runner, agreed.as_ref())).await {
        Ok(assignment) => execute(context, &runner, &assignment, &mut lock).await,
        Err(error) => Err(error),
    };
    lock.release().await;
    go_on(context, &runner, began, report).await
}

/// Goes on with a run whenever the database was lost and is back, as a daemon does.
async fn go_on(
    context: &Context,
    runner: &Runner,
    began: DateTime<Utc>,
    mut report: anyhow::Result<Report>,
) -> anyhow::Result<Report> {
    while is_database_lost(&report) && !context.stop.is_cancelled() {
        warn!("the database failed; the run goes on when it works again");
        let is_ours = |run: &RunRecord| match &report {
            Ok(report) => run.id == report.run,
            // Its end could not be recorded. Nobody else could start a run meanwhile.
            Err(_) => run.trigger == Trigger::Manual && run.heartbeat_at >= began,
        };
        let taken = tokio::select! {
            taken = tokio::time::timeout(PATIENCE, take_again(&runner.store, is_ours)) => taken,
            () = context.stop.cancelled() => break,
        };
        let Ok(Some((run, mut lock))) = taken else { break };
        report = execute(context, runner, &Assignment::Resume(run), &mut lock).await;
        lock.release().await;
    }
    report
}

fn is_database_lost(report: &anyhow::Result<Report>) -> bool {
    match report {
        Ok(report) => report.is_database_lost,
        Err(error) => {
            matches!(error.downcast_ref(), Some(runner::Error::Store(error)) if error.may_pass())
        }
    }
}

/// Takes the run lock again as soon as the database is back and the run may be resumed; `None` if that will not happen.
async fn take_again(store: &Store, is_ours: impl Fn(&RunRecord) -> bool) -> Option<(RunId, RunLock)> {
    loop {
        match store.unless_lost(try_again(store, &is_ours)).await {
            Ok(Again::Taken(run, lock)) => return Some((run, lock)),
            Ok(Again::Wait) => {}
            Ok(Again::Ended) => {
                warn!("the run was ended by another process meanwhile: `sanggwond runs` shows how");
                return None;
            }
            Err(error) if error.may_pass() => {}
            Err(error) => {
                warn!("the run does not go on: {}", chain(&error));
                return None;
            }
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
}

/// Whether a run goes on.
enum Again {
    Taken(RunId, RunLock),
    /// Another process holds the lock, or the run made no progress the last times.
    Wait,
    /// It is not unfinished any more.
    Ended,
}

async fn try_again(store: &Store, is_ours: impl Fn(&RunRecord) -> bool) -> Result<Again, store::Error> {
    let Some(lock) = store.try_lock().await? else { return Ok(Again::Wait) };
    let now = clock::now();
    store.interrupt_crashed_runs(now).await?;
    store.end_cancelled_runs(now).await?;
    let history = store.run_records().await?;
    let again = match history.iter().find(|run| run.status.is_unfinished() && is_ours(run)) {
        Some(run) if run.resume_at.is_none_or(|at| at <= now) => return Ok(Again::Taken(run.id, lock)),
        Some(_) => Again::Wait,
        None => Again::Ended,
    };
    lock.release().await;
    Ok(again)
}

/// Asks for confirmation if a new full run would remove data; returns what was confirmed.
async fn agree(context: &Context, options: &Options, runner: &Runner) -> anyhow::Result<Option<Preview>> {
    if options.is_limited() || options.retire || (!options.fresh && !unfinished(&runner.store).await?.is_empty()) {
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

/// The run to execute, after all that must be asked or refused.
async fn under_lock(options: &Options, (runner, agreed): (&Runner, Option<&Preview>)) -> anyhow::Result<Assignment> {
    runner.store.interrupt_crashed_runs(clock::now()).await?;
    runner.store.end_cancelled_runs(clock::now()).await?;
    runner.store.abandon_outdated_parts(clock::now()).await?;
    warn_of_a_pause(&runner.store).await?;
    let assignment = assignment(options, &runner.store).await?;
    if let Assignment::Open(Request { scope, .. }) = &assignment {
        runner.check(scope).await?;
        if scope.is_everything() && !options.retire {
            let preview = runner.preview().await?;
            if preview.difference.needs_consent() && agreed != Some(&preview) {
                return Err(consent::Needed(refusal(&preview)).into());
            }
        }
        if options.fresh {
            abandon(&runner.store, scope).await?;
        }
    }
    Ok(assignment)
}

async fn execute(
    context: &Context,
    runner: &Runner,
    assignment: &Assignment,
    lock: &mut RunLock,
) -> anyhow::Result<Report> {
    let done = CancellationToken::new();
    let work = async {
        let report = runner.run(lock, assignment, &context.stop).await;
        done.cancel();
        report
    };
    let (report, ()) = tokio::join!(work, progress::show(runner, &context.bars, &done));
    Ok(report?)
}

/// The run to execute: an unfinished one, unless a partial-scope run or `--fresh` was requested.
async fn assignment(options: &Options, store: &Store) -> anyhow::Result<Assignment> {
    let scope = options.scope(store).await?;
    let unfinished = unfinished(store).await?;
    if let Some(run) = unfinished.first().filter(|_| scope.is_everything() && !options.fresh) {
        if options.retire || options.accepted.drift {
            return Err(Misuse("there is an unfinished run; finish it with `sanggwond crawl`, or add --fresh").into());
        }
        return Ok(Assignment::Resume(run.id));
    }
    Ok(Assignment::Open(Request { scope, ..Request::new(Trigger::Manual) }))
}

/// Abandons the unfinished runs that a new one replaces. A partial-scope run does not abandon unfinished full runs.
async fn abandon(store: &Store, scope: &Scope) -> anyhow::Result<()> {
    for run in unfinished(store).await?.iter().filter(|run| scope.is_everything() || !run.is_full) {
        store.abandon_run(run.id, "abandoned by hand: crawl --fresh", clock::now()).await?;
    }
    Ok(())
}

/// Warns if the schedule is paused: the run starts all the same.
async fn warn_of_a_pause(store: &Store) -> anyhow::Result<()> {
    if let Some(pause) = due::pause(store).await? {
        warn!("the schedule is {pause}; this run starts all the same");
    }
    Ok(())
}

/// The unfinished runs: full runs before partial-scope runs, the newest first.
async fn unfinished(store: &Store) -> anyhow::Result<Vec<RunRecord>> {
    let mut history = store.run_records().await?;
    history.retain(|run| run.status.is_unfinished());
    history.sort_by_key(|run| !run.is_full);
    Ok(history)
}
