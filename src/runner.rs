//! One run, from the lock to its closed row, whatever happens in between.

mod closing;
mod ending;
mod ground;
mod meters;
mod pulse;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::clock;
use crate::crawl::allowance::Reserve;
use crate::crawl::known::Known;
use crate::crawl::plan::{self, Selection};
use crate::crawl::progress::Progress;
use crate::crawl::review::Rules;
use crate::crawl::{Crawl, End, Ground};
use crate::domain::keyword::Keyword;
use crate::domain::run::{Coverage, RunId, Scope, Trigger};
use crate::domain::station::Station;
use crate::kakao::{Client, quota};
use crate::observe::Vitals;
use crate::shutdown::Grace;
use crate::store::{self, Fence, NewRun, RunLock, Store};
use crate::systemd;
use ending::Ending;
use pulse::Pulse;

pub use closing::Report;
pub use meters::Meters;

/// How often a run shows that it is alive, besides its batches.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long giving back requests that were reserved and not sent may take.
const GIVING_BACK: Duration = Duration::from_secs(10);

/// What runs are made of.
#[derive(Debug)]
pub struct Runner {
    /// The database.
    pub store: Store,
    /// The API.
    pub client: Client,
    /// The stations of the station file.
    pub stations: Vec<Station>,
    /// What an onlooker sees.
    pub progress: Progress,
    /// What is seen of the runs from outside.
    pub meters: Meters,
    /// The signs of life of the process.
    pub vitals: Vitals,
    /// How runs go about it.
    pub settings: Settings,
}

/// How runs go about it.
#[derive(Debug)]
pub struct Settings {
    /// What is searched for.
    pub keywords: Vec<Keyword>,
    /// The radius around a station, in metres.
    pub radius_m: u32,
    /// How the ground is covered.
    pub coverage: Coverage,
    /// The requests granted per day.
    pub daily_quota: u32,
    /// When a place that was not found is taken for gone.
    pub rules: Rules,
    /// How long the last requests and writes may take after the stop token.
    pub grace: Duration,
    /// Where this is.
    pub host: String,
    /// All of it for the run's row, without secrets.
    pub recorded: serde_json::Value,
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// A new run.
    Open {
        /// What makes it start.
        trigger: Trigger,
        /// The tick that it serves.
        scheduled_for: Option<DateTime<Utc>>,
        /// What it is limited to.
        scope: Scope,
    },
    /// An unfinished one.
    Resume(RunId),
}

/// Why there is no run, or no word of its end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to do.
    #[error("could not plan the run")]
    Plan(#[from] plan::Error),
    /// The database failed before the run was open or after it was closed.
    #[error("could not open or close the run")]
    Store(#[from] store::Error),
    /// The stop token fired before the run was open.
    #[error("stopped before the run was open")]
    Stopped,
    /// A bug.
    #[error("a bug, before the run was open: {0}")]
    Panicked(String),
}

impl Runner {
    /// Runs an assignment under the lock. Whatever ends the work, the row is closed with the reason, unless the database
    /// is gone for good or somebody else has taken the run over.
    ///
    /// # Errors
    /// When the run could not be opened, or its end could not be recorded.
    pub async fn run(
        &self,
        lock: &mut RunLock,
        assignment: &Assignment,
        stop: &CancellationToken,
    ) -> Result<Report, Error> {
        let _activity = self.meters.activity();
        let started = Instant::now();
        let before = self.client.gate().usage();
        let mut known = None;
        let fence = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Error::Stopped),
            claimed = guarded(self.claim(assignment, &mut known)) => claimed.map_err(Error::Panicked)??,
            // Opening takes a while where much is listed anew, and the lock must be kept meanwhile.
            lost = lock.keep(systemd::alive) => return Err(lost.into()),
        };
        // From here on there is a row to close.
        let grace = Grace::new(stop, self.settings.grace);
        let ground = tokio::select! {
            biased;
            () = stop.cancelled() => Err(Ending::Crawled(End::Stopped)),
            ground = guarded(self.ground(fence.run, known)) => ground.unwrap_or_else(|bug| Err(Ending::Panicked(bug))),
            error = lock.keep(systemd::alive) => Err(Ending::LockLost(error)),
        };
        let ending = match ground {
            Ok(ground) => self.work(lock, fence, &ground, &grace).await,
            Err(ending) => ending,
        };
        let concluded = self.conclude(lock, fence, &ending, &grace).await;
        self.progress.end();
        let (closing, counts) = concluded?;
        let in_requests = self.client.gate().usage().in_requests.saturating_sub(before.in_requests);
        let report = Report { run: fence.run, closing, counts, elapsed: started.elapsed(), in_requests };
        report.log();
        self.meters.observe(&report);
        Ok(report)
    }

    /// Opens or resumes a run; what is known of the ground stays in `known`, if it had to be looked up.
    async fn claim(&self, assignment: &Assignment, known: &mut Option<Known>) -> Result<Fence, Error> {
        let now = clock::now();
        let settings = &self.settings;
        let (trigger, scheduled_for, scope) = match assignment {
            Assignment::Resume(run) => {
                let fence = self.store.resume_run(*run, &settings.host, now).await?;
                info!(run.id = %run, run.resumed = fence.resumed_count, "run {run} goes on where it was interrupted");
                return Ok(fence);
            }
            Assignment::Open { trigger, scheduled_for, scope } => (*trigger, *scheduled_for, scope),
        };
        if settings.coverage == Coverage::Complete {
            *known = Some(Known::new(self.store.known_positions().await?));
        }
        let opening = self.store.open_run(&self.stations, &settings.keywords, settings.radius_m, now).await?;
        let selection = Selection::new(&opening.stations, &opening.keywords, scope)?;
        let cells = match known {
            Some(known) => selection.in_rectangles(settings.radius_m, known),
            None => selection.around_stations(),
        };
        let new = NewRun {
            trigger,
            scheduled_for,
            coverage: settings.coverage,
            scope: (!scope.is_everything()).then(|| scope.clone()),
            radius_m: settings.radius_m,
            settings: settings.recorded.clone(),
            host: settings.host.clone(),
        };
        let fence = opening.insert(&new, &cells, now).await?;
        info!(run.id = %fence.run, run.trigger = %trigger, cells = cells.len(), "run {} started: {} cells", fence.run, cells.len());
        Ok(fence)
    }

    async fn work(&self, lock: &mut RunLock, fence: Fence, ground: &Ground, grace: &Grace<'_>) -> Ending {
        let allowance = Reserve::new(&self.store, self.settings.daily_quota);
        let crawl = Crawl {
            client: &self.client,
            allowance: &allowance,
            store: &self.store,
            fence,
            ground,
            progress: &self.progress,
        };
        self.client.gate().begin();
        let seen = || (self.progress.snapshot(), self.client.gate().usage());
        let pulse = Pulse::new(seen());
        let kept = || {
            if pulse.beats(seen()) {
                systemd::alive();
            }
        };
        let ending = tokio::select! {
            ending = ending_of(crawl.run(grace.stop())) => ending,
            error = lock.keep(kept) => Ending::LockLost(error),
            error = self.show_life(fence) => Ending::Store(error),
            () = grace.over() => Ending::GraceOver,
        };
        tokio::select! {
            () = allowance.close() => {}
            () = tokio::time::sleep(GIVING_BACK) => {}
            () = grace.over() => {}
        }
        ending
    }

    /// Takes over what the database says for whoever watches from outside.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn show(&self, next_tick: Option<DateTime<Utc>>) -> Result<(), store::Error> {
        let today = quota::day_of(clock::now());
        let left = self.settings.daily_quota.saturating_sub(self.store.requests_of(today).await?);
        self.meters.show(&self.store.last_runs().await?, left, next_tick);
        Ok(())
    }

    async fn show_life(&self, fence: Fence) -> store::Error {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            if let Err(error) = self.store.beat_run(fence, clock::now()).await {
                return error;
            }
            self.vitals.beat();
        }
    }
}

/// How a crawl ended, be it by a panic.
async fn ending_of(crawl: impl Future<Output = Result<End, store::Error>>) -> Ending {
    match guarded(crawl).await {
        Ok(Ok(end)) => Ending::Crawled(end),
        Ok(Err(error)) => Ending::Store(error),
        Err(bug) => Ending::Panicked(bug),
    }
}

/// Does some work; a panic in it is an error with its message.
async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(Box::pin(work)).catch_unwind().await.map_err(|panic| panic_message(panic.as_ref()))
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
        let ending = ending_of(async { panic!("index out of bounds") }).await;

        assert!(matches!(ending, Ending::Panicked(message) if message == "index out of bounds"));
    }
}
