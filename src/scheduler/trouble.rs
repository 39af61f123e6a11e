//! Consecutive database failures of the scheduler, and how often they are logged.

use tracing::{info, warn};

use crate::clock;
use crate::domain::run::Outage;

/// Consecutive database failures. No run can start until one attempt succeeds.
#[derive(Debug)]
pub(super) struct Trouble {
    outage: Option<Outage>,
    failures: u64,
}

impl Trouble {
    /// Starts with an outage that began during the start of the program.
    pub(super) fn after(outage: Option<Outage>) -> Self {
        Self { outage, failures: 0 }
    }

    /// The current outage: since when no run could start, and why.
    pub(super) fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }

    /// Records a failure. Logs the 1st, 2nd, 4th, 8th … failure of an outage and every 64th (about every 10 min at the default
    /// heartbeat), and each failure whose reason differs from the previous one.
    pub(super) fn add(&mut self, reason: String) {
        self.failures += 1;
        let is_news = self.outage.as_ref().is_none_or(|outage| outage.reason != reason);
        if is_news || self.failures.is_power_of_two() || self.failures.is_multiple_of(64) {
            warn!(
                error = reason,
                failures = self.failures,
                "could not check which runs are due; retrying at the next heartbeat"
            );
        }
        let since = self.outage.as_ref().map_or_else(clock::now, |outage| outage.since);
        self.outage = Some(Outage { since, reason });
    }

    /// Records a success, which ends the outage.
    pub(super) fn pass(&mut self) {
        self.outage = None;
        if std::mem::take(&mut self.failures) > 0 {
            info!("the database is reachable again");
        }
    }
}
