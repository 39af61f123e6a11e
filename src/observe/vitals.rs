//! Liveness and readiness: whether the process makes progress, and whether its database is reachable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// A process without a beat for this long is hung. The scheduler beats every 10 s, a run every 2 s while it holds the lock,
/// and each attempt to record the end of a run takes at most 1 min.
const HANGS_AFTER: Duration = Duration::from_mins(2);

/// Liveness and readiness of the process. Clones share the state.
#[derive(Clone, Debug)]
pub struct Vitals(Arc<Heart>);

#[derive(Debug)]
struct Heart {
    born: Instant,
    /// Milliseconds from `born` to the last beat.
    last_beat_ms: AtomicU64,
    has_beaten: AtomicBool,
    is_ready: AtomicBool,
}

impl Default for Vitals {
    fn default() -> Self {
        Self(Arc::new(Heart {
            born: Instant::now(),
            last_beat_ms: AtomicU64::new(0),
            has_beaten: AtomicBool::new(false),
            is_ready: AtomicBool::new(false),
        }))
    }
}

impl Vitals {
    /// Records that the process makes progress.
    pub fn beat(&self) {
        let age_ms = u64::try_from(self.0.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last_beat_ms.store(age_ms, Relaxed);
        self.0.has_beaten.store(true, Relaxed);
    }

    /// Records whether the database is reachable.
    pub fn set_ready(&self, is_ready: bool) {
        self.0.is_ready.store(is_ready, Relaxed);
    }

    /// Whether the process makes progress. It counts as alive until the first beat, because the start may wait for the
    /// database for long.
    pub(super) fn is_alive(&self) -> bool {
        let silence = self.0.born.elapsed().saturating_sub(Duration::from_millis(self.0.last_beat_ms.load(Relaxed)));
        !self.0.has_beaten.load(Relaxed) || silence < HANGS_AFTER
    }

    /// Whether the process makes progress and its database is reachable.
    pub(super) fn is_ready(&self) -> bool {
        self.0.is_ready.load(Relaxed) && self.is_alive()
    }
}
