//! Measures where the time of a run goes: samples what it waits for while it works.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Runner;
use crate::domain::time_spent::{TimeSpent, Wait};
use crate::store::Fence;

/// Interval between two samples.
const SAMPLE: Duration = Duration::from_millis(50);

/// Time limit for reading or writing the figures: they are for people only, and must not delay a run or a stop.
const PATIENCE: Duration = Duration::from_secs(2);

/// The time of one run so far.
#[derive(Debug)]
pub(super) struct Timesheet {
    spent: Mutex<TimeSpent>,
    /// Whether the earlier time of the run is known. Otherwise nothing is recorded, because that would erase it.
    is_whole: bool,
}

impl Timesheet {
    fn so_far(&self) -> TimeSpent {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, wait: Wait, took: Duration) {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).add(wait, took);
    }
}

impl Runner {
    /// Loads the recorded time of a run, and adds `took`, the time since it was opened or resumed, as time in the database.
    pub(super) async fn timesheet(&self, fence: Fence, took: Duration) -> Timesheet {
        let before = tokio::time::timeout(PATIENCE, self.store.time_spent(fence.run)).await.ok().and_then(Result::ok);
        let sheet = Timesheet { is_whole: before.is_some(), spent: Mutex::new(before.unwrap_or_default()) };
        sheet.add(Wait::Database, took);
        sheet
    }

    /// Samples what the run waits for, until the future is dropped.
    pub(super) async fn keep_time(&self, sheet: &Timesheet) -> std::convert::Infallible {
        let mut last = Instant::now();
        loop {
            tokio::time::sleep(SAMPLE).await;
            let now = Instant::now();
            sheet.add(self.waits_for(), now - last);
            last = now;
        }
    }

    /// Writes the time so far into the run's row.
    pub(super) async fn record_time(&self, fence: Fence, sheet: &Timesheet) {
        if sheet.is_whole {
            let spent = sheet.so_far();
            // Errors are ignored: the next heartbeat writes the figures again.
            tokio::time::timeout(PATIENCE, self.store.record_time(fence, &spent)).await.ok();
        }
    }

    fn waits_for(&self) -> Wait {
        let gate = self.client.gate();
        if let Some(cause) = gate.pause_cause() {
            return Wait::Pause(cause);
        }
        match gate.in_flight() {
            0 if self.progress.is_in_database() => Wait::Database,
            0 => Wait::PageDelay,
            _ => Wait::Requests,
        }
    }
}
