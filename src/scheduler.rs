//! The daemon's loop: decides what is due, and does it.
//!
//! The loop runs at every heartbeat; the cron job only wakes it at the exact second of a tick. Each time, [`decide::decide()`] compares
//! the schedule with the run history. A missed tick, a changed clock, a crashed process and a second daemon therefore need no
//! special handling: whatever the history does not contain is still due.

pub mod decide;
pub mod forecast;
pub mod lock_wait;
pub mod standing;
mod ticks;
mod trouble;
pub mod waiting;

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock;
use crate::domain::run::{Outage, RequestedScope, RunId, RunRecord, RunRequest, Scope, Status, Trigger};
use crate::domain::schedule::Schedule;
use crate::runner::{self, Assignment, Request, Runner};
use crate::store::{self, DaemonId, RunLock, SchemaState};
use crate::systemd;
use crate::telemetry::chain;
use decide::{Clocks, Decision, Past, Windows, is_doubtful, next_decision};
use lock_wait::LockWait;
use trouble::Trouble;
use waiting::Waiting;

/// Interval at which a daemon updates its row.
const STAMP: Duration = Duration::from_secs(30);

/// Interval at which a daemon looks for requests, besides its heartbeats.
const LOOK_FOR_REQUESTS: Duration = Duration::from_secs(3);

/// Time limit for removing the daemon's row when it stops.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts runs when they are due.
#[derive(Debug)]
pub struct Scheduler {
    /// Executes the runs.
    pub runner: Runner,
    /// When runs are due.
    pub schedule: Schedule,
    /// The time windows for catching up and resuming.
    pub windows: Windows,
    /// How often the loop checks what is due.
    pub heartbeat: Duration,
    /// How many runs the history keeps.
    pub keep_runs: NonZeroU32,
    /// What the daemon is waiting for.
    pub waiting: Waiting,
    /// How long the daemon has been waiting for the run lock.
    pub lock_wait: LockWait,
    /// The outage of the database during the start, if there was one.
    pub outage: Option<Outage>,
}

/// The cron library rejected the schedule.
#[derive(Debug, thiserror::Error)]
#[error("could not set up the cron job")]
pub struct Error(#[from] tokio_cron_scheduler::JobSchedulerError);

impl Scheduler {
    /// Runs what is due until the stop token is cancelled.
    ///
    /// # Errors
    /// When the cron job cannot be set up. Later errors are logged, and the work is retried at the next heartbeat.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), Error> {
        let (wake, mut woken) = mpsc::channel(1);
        let mut cron = ticks::start(&self.schedule, wake, stop).await?;
        let daemon = Cell::new(None);
        tokio::select! {
            () = self.watch(&mut woken, stop) => {}
            () = self.stamp(&daemon) => {}
        }
        if let Err(error) = cron.shutdown().await {
            warn!(error = &error as &dyn std::error::Error, "the cron job did not stop");
        }
        if let Some(daemon) = daemon.get() {
            let leaving = tokio::time::timeout(DEREGISTER_TIMEOUT, self.runner.store.deregister_daemon(daemon)).await;
            if let Err(error) = leaving.unwrap_or(Err(store::Error::Silent(DEREGISTER_TIMEOUT))) {
                warn!(error = &error as &dyn std::error::Error, "could not delete the daemon's row");
            }
        }
        Ok(())
    }

    async fn watch(&self, woken: &mut mpsc::Receiver<()>, stop: &CancellationToken) {
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut requests = tokio::time::interval(LOOK_FOR_REQUESTS);
        requests.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut trouble = Trouble::after(self.outage.clone());
        let mut is_start = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(()) = woken.recv() => {}
                _ = heartbeat.tick() => {}
                _ = requests.tick() => {
                    let has_request = tokio::select! {
                        biased;
                        () = stop.cancelled() => return,
                        has_request = self.runner.store.unless_lost(self.runner.store.has_request()) => has_request,
                    };
                    // Errors are ignored here: the next heartbeat finds them.
                    if !has_request.unwrap_or(false) {
                        continue;
                    }
                }
                () = systemd::until_watchdog_is_due() => {
                    self.runner.alive();
                    continue;
                }
            }
            let done = self.do_what_is_due(is_start, trouble.outage(), stop).await;
            is_start &= done.is_err();
            match done {
                Ok(()) => trouble.pass(),
                Err(error) => {
                    self.runner.vitals.set_ready(false);
                    let reason = chain(&self.runner.store.explain(error).await);
                    self.waiting.set(Some(format!("waiting for the database: {reason}")));
                    trouble.add(reason);
                }
            }
        }
    }

    /// Decides and acts until there is nothing to do, or another process holds the lock.
    async fn do_what_is_due(
        &self,
        mut is_start: bool,
        outage: Option<&Outage>,
        stop: &CancellationToken,
    ) -> Result<(), store::Error> {
        loop {
            self.runner.alive();
            let claimed = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                claimed = self.runner.store.unless_lost(self.claim(is_start)) => claimed?,
            };
            let Some((decision, mut lock)) = claimed else { return Ok(()) };
            is_start = false;
            let acted = self.act(decision, outage, &mut lock, stop).await;
            lock.release().await;
            if !acted? {
                return Ok(());
            }
        }
    }

    /// The next decision, with the run lock; `None` if nothing is due or another process holds the lock.
    async fn claim(&self, is_start: bool) -> Result<Option<(Decision, RunLock)>, store::Error> {
        self.runner.store.verify().await?;
        let history = self.runner.store.run_records().await?;
        self.runner.vitals.set_ready(true);
        // The process of a run with status `running` may be dead. Only the lock shows that.
        let has_running = history.iter().any(|run| run.status == Status::Running);
        let is_cancelled = self.runner.store.has_cancelled_run().await?;
        if !has_running && !is_cancelled && self.decide(&history, is_start).await? == Decision::Wait {
            debug!("nothing is due");
            self.end_lock_wait();
            self.show_waiting(&history).await?;
            return Ok(None);
        }
        let Some(lock) = self.runner.store.try_lock().await? else {
            self.wait_for_lock().await?;
            return Ok(None);
        };
        self.end_lock_wait();
        self.waiting.set(None);
        // A backup that was restored, or a new primary, may lack the last migrations.
        if let SchemaState::Behind(missing) = self.runner.store.schema_state().await? {
            lock.release().await;
            return Err(store::Error::OlderSchema(missing));
        }
        // While we hold the lock no other process works on a run, so a run that is still `running` is dead, and the history
        // does not change.
        self.runner.store.interrupt_crashed_runs(clock::now()).await?;
        self.runner.store.end_cancelled_runs(clock::now()).await?;
        self.runner.store.abandon_outdated_parts(clock::now()).await?;
        let decision = self.decide(&self.runner.store.run_records().await?, is_start).await?;
        if decision == Decision::Wait {
            lock.release().await;
            self.show_waiting(&history).await?;
            return Ok(None);
        }
        Ok(Some((decision, lock)))
    }

    /// Shows what the daemon waits for: the end of a pause, or the time to resume a run.
    async fn show_waiting(&self, history: &[RunRecord]) -> Result<(), store::Error> {
        let now = clock::now();
        let pauses = self.runner.store.schedule_pauses().await?;
        let pause =
            Past { runs: history, pauses: &pauses }.pause_at(now).map(|pause| format!("the schedule is {pause}"));
        self.runner.meters.show_schedule_pause(pause.is_some());
        if self.waiting.set(pause.clone().or_else(|| waiting::for_a_run(history, now)))
            && let Some(pause) = pause
        {
            info!("{pause}");
        }
        Ok(())
    }

    async fn wait_for_lock(&self) -> Result<(), store::Error> {
        let other = "waiting for another process, which holds the run lock of this database";
        if self.waiting.set(Some(other.to_owned())) {
            info!("{other}");
        }
        let holder = self.runner.store.lock_holder().await?;
        let waited = self.lock_wait.go_on(holder.as_ref());
        self.runner.meters.show_lock_wait(waited, holder.as_ref());
        Ok(())
    }

    fn end_lock_wait(&self) {
        self.lock_wait.end();
        self.runner.meters.show_lock_wait(Duration::ZERO, None);
    }

    async fn decide(&self, history: &[RunRecord], is_start: bool) -> Result<Decision, store::Error> {
        let now = clock::now();
        let mut clocks = Clocks::from(now);
        if is_doubtful(now, history) {
            clocks.latest = now.max(self.runner.store.latest_clock().await?);
        }
        let pauses = self.runner.store.schedule_pauses().await?;
        let past = Past { runs: history, pauses: &pauses };
        let decision = next_decision(clocks, is_start, &self.schedule, past, self.windows);
        if decision != Decision::Wait {
            return Ok(decision);
        }
        let request = self.runner.store.next_request(&self.runner.settings.host, now).await?;
        Ok(request.map_or(Decision::Wait, Decision::Answer))
    }

    /// Carries out a decision. `false` if it could not be: then the next one waits for the next heartbeat.
    async fn act(
        &self,
        decision: Decision,
        outage: Option<&Outage>,
        lock: &mut RunLock,
        stop: &CancellationToken,
    ) -> Result<bool, store::Error> {
        let store = &self.runner.store;
        let assignment = match decision {
            Decision::Wait => return Ok(false),
            Decision::Skip { tick, reason } => {
                info!(%tick, "skipped the tick {tick}: {reason}");
                store.skip_tick(tick, &reason, &self.runner.settings.host, clock::now()).await?;
                return Ok(true);
            }
            Decision::Abandon(run, reason) => {
                warn!(run.id = run.0, "abandoned run {run}: {reason}");
                store.abandon_run(run, &reason, clock::now()).await?;
                return Ok(true);
            }
            Decision::Tie { run, tick } => {
                info!(run.id = %run, %tick, "manual run {run} counts for the tick {tick}");
                store.tie_run(run, tick).await?;
                return Ok(true);
            }
            Decision::Untie(run) => {
                warn!(
                    run.id = run.0,
                    "removed the tick from run {run}, because the clock was ahead when it was recorded; the tick is decided again"
                );
                store.untie_run(run).await?;
                return Ok(true);
            }
            Decision::Resume(run) => Assignment::Resume(run),
            Decision::Start { tick, trigger } => {
                let late_because = outage.map(|outage| outage.until(clock::now()));
                Assignment::Open(Request { scheduled_for: Some(tick), late_because, ..Request::new(trigger) })
            }
            Decision::Answer(request) => return self.answer(request, lock, stop).await.map(|()| true),
        };
        Ok(self.execute(&assignment, lock, stop).await?.is_none())
    }

    /// Answers a request: with a run, or with a row that says why there is none.
    async fn answer(
        &self,
        request: RunRequest,
        lock: &mut RunLock,
        stop: &CancellationToken,
    ) -> Result<(), store::Error> {
        let store = &self.runner.store;
        info!(request.id = request.id.0, "request {} by {}", request.id.0, request.by);
        let RequestedScope { stations, keywords, failed } = request.scope.clone();
        let failed_cells_of = if failed { store.last_full_run().await? } else { None };
        let reject = async |reason: &str| {
            warn!(request.id = request.id.0, "request {} by {} is rejected: {reason}", request.id.0, request.by);
            store.reject_request(&request, reason, &self.runner.settings.host, clock::now()).await
        };
        if failed && failed_cells_of.is_none() {
            return reject("no full run has been finished yet, so there are no failed cells").await;
        }
        let scope = Scope { stations, keywords, failed_cells_of };
        if scope.is_everything()
            && let Some(run) = unfinished(&store.run_records().await?)
        {
            // As `sanggwond crawl` does.
            store.answer_request(request.id, run).await?;
            return self.execute(&Assignment::Resume(run), lock, stop).await.map(drop);
        }
        let assignment =
            Assignment::Open(Request { scope, request: Some(request.id), ..Request::new(Trigger::Request) });
        match self.execute(&assignment, lock, stop).await? {
            None => Ok(()),
            Some(reason) => reject(&reason).await,
        }
    }

    /// Executes a run. Returns why it could not be opened, if that is not the fault of the database.
    async fn execute(
        &self,
        assignment: &Assignment,
        lock: &mut RunLock,
        stop: &CancellationToken,
    ) -> Result<Option<String>, store::Error> {
        let store = &self.runner.store;
        match self.runner.run(lock, assignment, stop).await {
            Ok(_) => {
                let deleting = store.unless_lost(store.forget_old_runs(self.keep_runs));
                store::timed("deleting old runs", deleting).await.map(|()| None)
            }
            Err(runner::Error::Store(error)) => Err(error),
            Err(error @ runner::Error::Stopped) => {
                warn!("no run was started: {error}");
                Ok(None)
            }
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "no run was started");
                Ok(Some(chain(&error)))
            }
        }
    }

    /// Updates the daemon's row regularly, to show that it is alive.
    async fn stamp(&self, daemon: &Cell<Option<DaemonId>>) {
        loop {
            // Errors are ignored here: `watch` logs that the database is unreachable.
            let stamped = self.runner.store.unless_lost(self.stamp_once(daemon.get())).await;
            daemon.set(stamped.unwrap_or(daemon.get()));
            tokio::time::sleep(STAMP).await;
        }
    }

    async fn stamp_once(&self, daemon: Option<DaemonId>) -> Result<Option<DaemonId>, store::Error> {
        let store = &self.runner.store;
        let now = clock::now();
        let next = if self.windows.is_enabled { self.schedule.next_after(now) } else { None };
        self.runner.show(next).await?;
        let is_stamped = match daemon {
            Some(daemon) => store.beat(daemon, next, now).await?,
            None => false,
        };
        if is_stamped {
            return Ok(daemon);
        }
        // The daemon is new, or another one deleted its row because it was not updated while the machine was suspended.
        let daemon = store.register_daemon(&self.runner.settings.host, now).await?;
        store.beat(daemon, next, now).await?;
        Ok(Some(daemon))
    }
}

/// The newest unfinished full run.
fn unfinished(history: &[RunRecord]) -> Option<RunId> {
    history.iter().find(|run| run.status.is_unfinished() && run.is_full).map(|run| run.id)
}
