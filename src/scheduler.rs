//! The daemon's loop: look what is due, and see to it.
//!
//! The cron job only wakes the loop early; a heartbeat asks [`decide()`] as well. So a missed tick, a clock that was set, a
//! crashed process and a second daemon are all the same case: what the history does not show is still to be done.

pub mod decide;
mod ticks;

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock;
use crate::domain::run::{RunRecord, Scope, Status};
use crate::domain::schedule::Schedule;
use crate::runner::{self, Assignment, Runner};
use crate::store::{self, DaemonId, RunLock};
use crate::systemd;
use decide::{Decision, Windows, ahead_of_time, decide, retry_at_start};

/// How often a daemon stamps its row.
const STAMP: Duration = Duration::from_secs(30);

/// How long a daemon that stops waits for its row to be removed.
const FAREWELL: Duration = Duration::from_secs(2);

/// When runs are due, and who runs them.
#[derive(Debug)]
pub struct Scheduler {
    /// Who runs them.
    pub runner: Runner,
    /// When they are due.
    pub schedule: Schedule,
    /// The settings of the decision.
    pub windows: Windows,
    /// How often it is looked.
    pub heartbeat: Duration,
    /// How many rows the history keeps.
    pub keep_runs: NonZeroU32,
}

/// The cron library refuses the schedule.
#[derive(Debug, thiserror::Error)]
#[error("could not set up the cron job")]
pub struct Error(#[from] tokio_cron_scheduler::JobSchedulerError);

impl Scheduler {
    /// Runs what is due until the stop token fires.
    ///
    /// # Errors
    /// When it cannot be set up; what goes wrong later is logged and tried again at the next heartbeat.
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
            let leaving = tokio::time::timeout(FAREWELL, self.runner.store.deregister_daemon(daemon)).await;
            if let Err(error) = leaving.unwrap_or(Err(store::Error::Silent(FAREWELL))) {
                warn!(error = &error as &dyn std::error::Error, "the daemon's row stays behind");
            }
        }
        Ok(())
    }

    async fn watch(&self, woken: &mut mpsc::Receiver<()>, stop: &CancellationToken) {
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_reachable = true;
        let mut is_start = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(()) = woken.recv() => {}
                _ = heartbeat.tick() => {}
                () = systemd::until_hungry() => {
                    systemd::alive();
                    continue;
                }
            }
            self.runner.vitals.beat();
            let seen_to = self.see_to_what_is_due(is_start, stop).await;
            is_start &= seen_to.is_err();
            if seen_to.is_err() {
                self.runner.vitals.set_ready(false);
            }
            match seen_to {
                Ok(()) if !is_reachable => {
                    is_reachable = true;
                    info!("the database answers again");
                }
                // One line for a whole outage.
                Err(error) if is_reachable => {
                    is_reachable = false;
                    warn!(error = &error as &dyn std::error::Error, "could not look what is due; trying on");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    /// Decides and acts until there is nothing to do, or another process holds the lock.
    async fn see_to_what_is_due(&self, mut is_start: bool, stop: &CancellationToken) -> Result<(), store::Error> {
        loop {
            systemd::alive();
            let claimed = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                claimed = self.claim(is_start) => claimed?,
            };
            let Some((decision, mut lock)) = claimed else { return Ok(()) };
            is_start = false;
            let acted = self.act(decision, &mut lock, stop).await;
            lock.release().await;
            acted?;
        }
    }

    /// What is to be done, and the lock to do it under; `None` where nothing is, or another process holds the lock.
    async fn claim(&self, is_start: bool) -> Result<Option<(Decision, RunLock)>, store::Error> {
        let history = self.runner.store.run_records().await?;
        self.runner.vitals.set_ready(true);
        // A run of any kind that says it is running may be dead: only its lock tells.
        let says_running = history.iter().any(|run| run.status == Status::Running);
        if !says_running && self.decide(&history, is_start).await? == Decision::Wait {
            debug!("nothing is due");
            return Ok(None);
        }
        let Some(lock) = self.runner.store.try_lock().await? else { return Ok(None) };
        // Under the lock nobody else works: what still says so is dead, and history stands still.
        self.runner.store.bury_dead_runs(clock::now()).await?;
        let decision = self.decide(&self.runner.store.run_records().await?, is_start).await?;
        if decision == Decision::Wait {
            lock.release().await;
            return Ok(None);
        }
        Ok(Some((decision, lock)))
    }

    async fn decide(&self, history: &[RunRecord], is_start: bool) -> Result<Decision, store::Error> {
        let now = clock::now();
        let mut early = ahead_of_time(now, history, self.windows);
        if early.is_some() {
            // Before history is corrected, another clock is heard: it may be ours that is wrong.
            early = ahead_of_time(now.max(self.runner.store.clock().await?), history, self.windows);
        }
        let retried = if is_start { retry_at_start(now, history, self.windows) } else { None };
        Ok(match (early, retried) {
            (Some(run), _) => Decision::Untie(run),
            (None, Some(run)) => Decision::Resume(run),
            (None, None) => decide(now, &self.schedule, history, self.windows),
        })
    }

    async fn act(&self, decision: Decision, lock: &mut RunLock, stop: &CancellationToken) -> Result<(), store::Error> {
        let store = &self.runner.store;
        let assignment = match decision {
            Decision::Wait => return Ok(()),
            Decision::Skip { tick, reason } => {
                info!(%tick, "tick {tick} is skipped: {reason}");
                return store.skip_tick(tick, &reason, &self.runner.settings.host, clock::now()).await;
            }
            Decision::GiveUp(run, reason) => {
                warn!(run.id = %run, "run {run} is given up: {reason}");
                return store.give_up_run(run, &reason, clock::now()).await;
            }
            Decision::Untie(run) => {
                warn!(run.id = %run, "run {run} loses its tick, which is judged anew: the clock was ahead");
                return store.untie_run(run).await;
            }
            Decision::Resume(run) => Assignment::Resume(run),
            Decision::Start { tick, trigger } => {
                Assignment::Open { trigger, scheduled_for: Some(tick), scope: Scope::default() }
            }
        };
        match self.runner.run(lock, &assignment, stop).await {
            Ok(report) => {
                if matches!(report.closing.status, Status::Failed | Status::Partial) {
                    warn!(run.id = %report.run, "look at run {} with `sanggwond runs`", report.run);
                }
                store.forget_old_runs(self.keep_runs).await
            }
            Err(runner::Error::Store(error)) => Err(error),
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "no run");
                Ok(())
            }
        }
    }

    /// Shows that this daemon is alive.
    async fn stamp(&self, daemon: &Cell<Option<DaemonId>>) {
        loop {
            // Where the database is away, the watch says so.
            daemon.set(self.stamp_once(daemon.get()).await.unwrap_or(daemon.get()));
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
        // It is new, or somebody took it for dead after a suspension.
        let daemon = store.register_daemon(&self.runner.settings.host, now).await?;
        store.beat(daemon, next, now).await?;
        Ok(Some(daemon))
    }
}
