//! The daemon's loop: look what is due, and see to it.
//!
//! The cron job only wakes the loop early; a heartbeat asks [`decide()`] as well. So a missed tick, a clock that was set, a
//! crashed process and a second daemon are all the same case: what the history does not show is still to be done.

pub mod decide;
mod ticks;

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock;
use crate::domain::run::{Scope, Status};
use crate::domain::schedule::Schedule;
use crate::runner::{Assignment, Runner};
use crate::store::{self, DaemonId};
use decide::{Decision, Windows, decide};

/// How often a daemon stamps its row.
const STAMP: Duration = Duration::from_secs(30);

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
}

/// Why the scheduler cannot work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cron library refuses the schedule.
    #[error("could not set up the cron job")]
    Cron(#[from] tokio_cron_scheduler::JobSchedulerError),
    /// The daemon's row cannot be written.
    #[error("could not write the daemon's row")]
    Store(#[from] store::Error),
}

impl Scheduler {
    /// Runs what is due until the stop token fires.
    ///
    /// # Errors
    /// When it cannot be set up; what goes wrong later is logged and tried again at the next heartbeat.
    pub async fn run(&self, stop: &CancellationToken) -> Result<(), Error> {
        let (wake, mut woken) = mpsc::channel(1);
        let mut cron = ticks::start(&self.schedule, wake, stop).await?;
        let host = &self.runner.settings.host;
        let daemon = self.runner.store.register_daemon(host, clock::now()).await?;
        tokio::select! {
            () = self.watch(&mut woken, stop) => {}
            () = self.stamp(daemon) => {}
        }
        if let Err(error) = cron.shutdown().await {
            warn!(error = &error as &dyn std::error::Error, "the cron job did not stop");
        }
        if let Err(error) = self.runner.store.deregister_daemon(daemon).await {
            warn!(error = &error as &dyn std::error::Error, "the daemon's row stays behind");
        }
        Ok(())
    }

    async fn watch(&self, woken: &mut mpsc::Receiver<()>, stop: &CancellationToken) {
        let mut heartbeat = tokio::time::interval(self.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_reachable = true;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(()) = woken.recv() => {}
                _ = heartbeat.tick() => {}
            }
            match self.see_to_what_is_due(stop).await {
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
    async fn see_to_what_is_due(&self, stop: &CancellationToken) -> Result<(), store::Error> {
        while !stop.is_cancelled() {
            if self.decide(clock::now()).await? == Decision::Wait {
                debug!("nothing is due");
                return Ok(());
            }
            let Some(mut lock) = self.runner.store.try_lock().await? else { return Ok(()) };
            // Under the lock nobody else works: what still says so is dead, and history stands still.
            self.runner.store.bury_dead_runs().await?;
            let decision = self.decide(clock::now()).await?;
            let acted = self.act(decision, &mut lock, stop).await;
            lock.release().await;
            acted?;
        }
        Ok(())
    }

    async fn decide(&self, now: DateTime<Utc>) -> Result<Decision, store::Error> {
        let history = self.runner.store.run_records().await?;
        Ok(decide(now, &self.schedule, &history, self.windows))
    }

    async fn act(
        &self,
        decision: Decision,
        lock: &mut store::RunLock,
        stop: &CancellationToken,
    ) -> Result<(), store::Error> {
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
            }
            Err(crate::runner::Error::Store(error)) => return Err(error),
            Err(error) => warn!(error = &error as &dyn std::error::Error, "no run"),
        }
        Ok(())
    }

    /// Shows that this daemon is alive.
    async fn stamp(&self, mut daemon: DaemonId) {
        loop {
            let now = clock::now();
            let next = if self.windows.is_enabled { self.schedule.next_after(now) } else { None };
            match self.runner.store.beat(daemon, next, now).await {
                Ok(true) => {}
                // Somebody took it for dead, after a suspension perhaps.
                Ok(false) => {
                    if let Ok(id) = self.runner.store.register_daemon(&self.runner.settings.host, now).await {
                        daemon = id;
                    }
                }
                Err(error) => warn!(error = &error as &dyn std::error::Error, "could not stamp the daemon's row"),
            }
            tokio::time::sleep(STAMP).await;
        }
    }
}
