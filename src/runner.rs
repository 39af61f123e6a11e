//! Executes one crawl run under the run lock: opens or resumes it, crawls, and records how it ended.

pub mod canaries;
pub mod ending;
mod finish;
mod load;
mod meters;
mod opening;
mod pulse;
mod timesheet;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error_span, field, info};

use crate::clock;
use crate::config::redaction::redacted;
use crate::crawl::allowance::Reserve;
use crate::crawl::api::Api;
use crate::crawl::canary::Heed;
use crate::crawl::known::Known;
use crate::crawl::plan;
use crate::crawl::progress::Progress;
use crate::crawl::review::rules::Rules;
use crate::crawl::writer::Writer;
use crate::crawl::{self, Crawl, Plan};
use crate::domain::inventory::Inventory;
use crate::domain::quota::{Quotas, day_of};
use crate::domain::run::{Coverage, RequestId, RunId, Scope, Trigger};
use crate::kakao::Client;
use crate::observe::Vitals;
use crate::shutdown::Grace;
use crate::store::{self, Fence, Findings, RunLock, Store};
use crate::{systemd, telemetry};
use ending::Ending;
use pulse::Pulse;
use timesheet::Timesheet;

pub use finish::Report;
pub use meters::Meters;
pub use opening::{Preview, Retiring};

/// Interval at which a run updates its heartbeat, and looks whether it was cancelled; every written batch updates the
/// heartbeat as well.
const HEARTBEAT: Duration = Duration::from_secs(3);

/// Time limit for the requests in flight and the last writes of a cancelled run.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Time limit for returning reserved but unsent requests to the daily quota.
const RETURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything that a run needs.
#[derive(Debug)]
pub struct Runner {
    /// The database.
    pub store: Store,
    /// The API.
    pub client: Arc<Client>,
    /// The stations of the station file, and the configured keywords and radius.
    pub inventory: Inventory,
    /// The counters of the current run.
    pub progress: Progress,
    /// The Prometheus metrics of the runs.
    pub meters: Meters,
    /// Liveness and readiness of the process.
    pub vitals: Vitals,
    /// Settings that apply to every run.
    pub settings: Settings,
}

/// Settings that apply to every run.
#[derive(Debug)]
pub struct Settings {
    /// Whether the retirement of many stations or keywords was confirmed.
    pub retiring: Retiring,
    /// How the area around the stations is searched.
    pub coverage: Coverage,
    /// The maximum numbers of requests.
    pub quotas: Quotas,
    /// When a place that was not found is considered closed.
    pub rules: Rules,
    /// Whether what its canaries find has consequences for a run.
    pub heed: Heed,
    /// Time limit for the last requests and writes after the stop token was cancelled.
    pub grace: Duration,
    /// The host name of this machine.
    pub host: String,
    /// The pause between two pages of a cell.
    pub page_delay: Duration,
    /// The other settings to store in the run's row, without secrets.
    pub recorded: serde_json::Value,
}

/// Which run to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// A new run.
    Open(Request),
    /// An unfinished run.
    Resume(RunId),
}

/// The parameters of a new run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Why it starts.
    pub trigger: Trigger,
    /// The tick that it is for.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// What it is limited to.
    pub scope: Scope,
    /// The request that it answers.
    pub request: Option<RequestId>,
    /// The outage that delayed it: from when to when, and why.
    pub late_because: Option<String>,
}

impl Request {
    /// A full run without a tick.
    #[must_use]
    pub fn new(trigger: Trigger) -> Self {
        Self { trigger, scheduled_for: None, scope: Scope::default(), request: None, late_because: None }
    }
}

/// A run that is open.
struct Opened {
    fence: Fence,
    /// The positions of the known places, if planning has already read them.
    known: Option<Known>,
}

/// Why a run was not executed, or its end was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plan has no cells.
    #[error("could not plan the run")]
    Plan(#[from] plan::Error),
    /// The database failed while the run was opened or its end was recorded.
    #[error("could not open the run or record its end")]
    Store(#[from] store::Error),
    /// The stop token was cancelled before the run was open.
    #[error("stopped before the run was opened")]
    Stopped,
    /// A bug.
    #[error("a bug, before the run was opened: {0}")]
    Panicked(String),
}

impl Runner {
    /// Executes a run under the lock. However the work ends, the final status and the reason are written to the run's row,
    /// unless the database stays unreachable or another process has taken over the run.
    ///
    /// # Errors
    /// When the run could not be opened, or its end could not be recorded.
    pub async fn run(
        &self,
        lock: &mut RunLock,
        assignment: &Assignment,
        stop: &CancellationToken,
    ) -> Result<Report, Error> {
        // The span adds the run's number to each of its log lines, as soon as the number is known.
        let span = error_span!(target: telemetry::RUN, "run", run.id = field::Empty);
        Box::pin(self.run_in_span(lock, assignment, stop)).instrument(span).await
    }

    async fn run_in_span(
        &self,
        lock: &mut RunLock,
        assignment: &Assignment,
        stop: &CancellationToken,
    ) -> Result<Report, Error> {
        let _activity = self.meters.activity(clock::now());
        let started = Instant::now();
        let before = self.client.gate().usage();
        let Opened { fence, known } = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Error::Stopped),
            opened = guarded(self.open_or_resume(assignment)) => opened.map_err(Error::Panicked)??,
            // Opening a run may recompute many listings, which takes time. The lock must be kept alive meanwhile.
            lost = lock.keep(|| self.alive()) => return Err(lost.into()),
        };
        // From here on the run has a row, so its end must be recorded.
        let grace = Grace::new(stop, self.settings.grace);
        let plan = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Ending::Stopped),
            plan = guarded(self.plan(fence.run, known)) => plan.unwrap_or_else(|bug| Err(Ending::Panicked(bug))),
            error = lock.keep(|| self.alive()) => Err(Ending::LockLost(error)),
        };
        let sheet = self.timesheet(fence, started.elapsed()).await;
        let ending = match plan {
            Ok(plan) => self.work(lock, (fence, &sheet), Arc::new(plan), &grace).await,
            Err(ending) => ending,
        };
        self.record_time(fence, &sheet).await;
        let concluded = self.conclude(lock, fence, &ending, &grace).await;
        self.progress.end();
        let (end, counts) = concluded?;
        let in_requests = self.client.gate().usage().in_requests.saturating_sub(before.in_requests);
        let is_database_lost = ending.is_loss_of_the_database();
        let report = Report { run: fence.run, end, counts, elapsed: started.elapsed(), in_requests, is_database_lost };
        report.log(ending.is_wanted());
        self.meters.observe(&report);
        Ok(report)
    }

    async fn open_or_resume(&self, assignment: &Assignment) -> Result<Opened, Error> {
        let run = match assignment {
            Assignment::Open(request) => return self.open(request).await,
            Assignment::Resume(run) => *run,
        };
        let fence = self.store.resume_run(run, &self.settings.host, clock::now()).await?;
        Span::current().record("run.id", run.0);
        info!(run.resumed = fence.resumed_count, "run {run} resumed");
        Ok(Opened { fence, known: None })
    }

    async fn work(
        &self,
        lock: &mut RunLock,
        (fence, sheet): (Fence, &Timesheet),
        plan: Arc<Plan>,
        grace: &Grace<'_>,
    ) -> Ending {
        let allowance = Arc::new(Reserve::new(self.store.clone(), self.settings.quotas));
        let writer = Writer {
            store: self.store.clone(),
            fence,
            stations: Arc::clone(&plan.stations),
            progress: self.progress.clone(),
        };
        let api = Api { client: Arc::clone(&self.client), allowance: Arc::clone(&allowance) };
        let crawl = Crawl { api, writer, plan };
        self.client.gate().begin();
        let seen = || (self.progress.snapshot(), self.client.gate().usage());
        let pulse = Pulse::new(seen());
        let kept = || {
            self.meters.show_progress(self.progress.snapshot());
            if pulse.beats(seen()) {
                self.alive();
            }
        };
        // A task runs on the thread that receives the answers. The future of this function does not.
        let mut crawling = JoinSet::new();
        let halt = grace.stop().child_token();
        crawling.spawn(crawl.run(halt.clone()).in_current_span());
        let ending = tokio::select! {
            ending = ending_of(&mut crawling) => ending,
            error = lock.keep(&kept) => Ending::LockLost(error),
            ending = self.show_life(fence, sheet) => ending,
            never = self.keep_time(sheet) => match never {},
            () = grace.over() => Ending::GraceOver,
        };
        if let Ending::Cancelled(reason) = &ending {
            halt.cancel();
            info!("{reason}; no new request is sent");
            tokio::select! {
                _ = ending_of(&mut crawling) => {}
                _ = lock.keep(&kept) => {}
                () = tokio::time::sleep(CANCEL_GRACE) => {}
            }
        }
        crawling.shutdown().await;
        tokio::select! {
            () = allowance.close() => {}
            () = tokio::time::sleep(RETURN_TIMEOUT) => {}
            () = grace.over() => {}
        }
        ending
    }

    /// Updates the metrics that are read from the database: the last runs, the remaining quota and the next tick.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn show(&self, next_tick: Option<DateTime<Utc>>) -> Result<(), store::Error> {
        let left = self.settings.quotas.left(self.store.usage(day_of(clock::now())).await?);
        self.meters.show(&self.store.last_runs().await?, left, next_tick);
        Ok(())
    }

    /// Reports progress to the systemd watchdog and to `/livez`.
    pub fn alive(&self) {
        self.vitals.beat();
        systemd::alive();
    }

    /// Updates the heartbeat of the run until that fails, or the run is cancelled.
    async fn show_life(&self, fence: Fence, sheet: &Timesheet) -> Ending {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            self.record_time(fence, sheet).await;
            match self.store.beat_run(fence, self.client.gate().pause().as_ref(), clock::now()).await {
                Ok(None) => {}
                Ok(Some(reason)) => return Ending::Cancelled(reason),
                Err(error) => return error.into(),
            }
        }
    }
}

/// How a crawl ended; a panic is one of the endings.
async fn ending_of(crawling: &mut JoinSet<Result<Option<Findings>, crawl::Error>>) -> Ending {
    match crawling.join_next().await {
        Some(Ok(Ok(Some(findings)))) => Ending::Finished(Box::new(findings)),
        Some(Ok(Ok(None))) | None => Ending::Stopped,
        Some(Ok(Err(error))) => Ending::Failed(error),
        Some(Err(error)) => Ending::Panicked(redacted(&panic_message(error.into_panic().as_ref()))),
    }
}

/// Does some work and turns a panic into an error with the panic's message, redacted because it may quote external input.
async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(Box::pin(work)).catch_unwind().await.map_err(|panic| redacted(&panic_message(panic.as_ref())))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_ending_with_its_message() {
        let ending = async |crawl: fn() -> Result<Option<Findings>, crawl::Error>| {
            let mut crawling = JoinSet::new();
            crawling.spawn(async move { crawl() });
            ending_of(&mut crawling).await
        };

        let first = ending(|| panic!("index out of bounds")).await;

        assert!(matches!(first, Ending::Panicked(message) if message == "index out of bounds"));
        crate::config::redaction::register("panic-canary");
        let second = ending(|| panic!("byte index 3 is inside of `panic-canary`")).await;
        assert!(matches!(second, Ending::Panicked(message) if message == "byte index 3 is inside of `…`"));
    }
}
