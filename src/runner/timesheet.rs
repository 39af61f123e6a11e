//! Measures where the time of a run goes: samples what it waits for while it works.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Runner;
use crate::domain::time_spent::{TimeSpent, Wait};
use crate::store::Fence;

/// Interval between two samples.
const SAMPLE: Duration = Duration::from_millis(50);

/// The time of one run so far.
#[derive(Debug)]
pub(super) struct Timesheet(Mutex<TimeSpent>);

impl Timesheet {
    /// Continues the time of a run that was opened or resumed `took` ago.
    pub(super) fn since_opening(mut before: TimeSpent, took: Duration) -> Self {
        before.add(Wait::Database, took);
        Self(Mutex::new(before))
    }

    pub(super) fn so_far(&self) -> TimeSpent {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, wait: Wait, took: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(wait, took);
    }
}

impl Runner {
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
        if let Err(error) = self.store.record_time(fence, &sheet.so_far()).await {
            // The figures are for people only, and the next heartbeat writes them again.
            tracing::debug!(error = &error as &dyn std::error::Error, "the time of the run could not be recorded");
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
