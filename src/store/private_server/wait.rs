//! Waits for a server or for other processes, with a time limit.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

/// A longer wait is logged.
const LOG_AFTER: Duration = Duration::from_secs(3);

/// Interval between two checks.
const PAUSE: Duration = Duration::from_millis(50);

/// A wait with a time limit. It is logged once it becomes long.
pub(super) struct Wait {
    since: Instant,
    patience: Duration,
    is_logged: bool,
}

impl Wait {
    pub(super) fn new(patience: Duration) -> Self {
        Self { since: Instant::now(), patience, is_logged: false }
    }

    /// Waits for one interval; `false` if the time limit has passed.
    pub(super) async fn goes_on(&mut self, why: impl FnOnce() -> String) -> bool {
        let waited = self.since.elapsed();
        if waited >= LOG_AFTER && !self.is_logged {
            self.is_logged = true;
            // Read-only commands log warnings and errors only.
            warn!("waiting: {}", why());
        }
        sleep(PAUSE).await;
        waited < self.patience
    }
}
