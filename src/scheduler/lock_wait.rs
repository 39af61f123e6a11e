//! Measures how long the run lock has been waited for, and logs long waits. Any database session may hold the lock, so the
//! log names the holder.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::store::LockHolder;

/// How long a wait is not logged.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Maximum time between two log lines about the same wait.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// A wait for the run lock, or none.
#[derive(Debug)]
pub struct LockWait {
    patience: Duration,
    wait: Mutex<Option<Wait>>,
}

#[derive(Debug)]
struct Wait {
    since: Instant,
    /// The duration after which it is logged next.
    next: Duration,
}

impl LockWait {
    /// No wait yet. A wait is logged after `patience`, then each time its duration has doubled, at least once an hour.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self { patience, wait: Mutex::default() }
    }

    /// Begins or continues the wait, logs it if it is time, and returns its duration so far.
    pub fn go_on(&self, holder: Option<&LockHolder>) -> Duration {
        let mut wait = self.wait.lock().unwrap_or_else(PoisonError::into_inner);
        let Wait { since, next } = wait.get_or_insert(Wait { since: Instant::now(), next: self.patience });
        let waited = since.elapsed();
        if let Some(holder) = holder.filter(|_| waited >= *next) {
            *next = waited + waited.min(LONGEST_PAUSE);
            let waited = humantime::format_duration(Duration::from_secs(waited.as_secs()));
            warn!(
                lock.pid = holder.pid,
                "still waiting for the lock of this database after {waited}; it is held by {holder}"
            );
        }
        waited
    }

    /// Ends the wait.
    pub fn end(&self) {
        *self.wait.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
