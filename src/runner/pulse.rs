//! Detects a run without progress, so that the watchdog can restart the process.
//!
//! The connection that holds the lock stays responsive even when the crawl is deadlocked, so its pings prove nothing. A pause
//! requested by the API is not a hang: only a run without progress for longer than the longest pause counts as hung.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::crawl::progress::Snapshot;
use crate::kakao::gate::Usage;

/// A run without progress for this long is hung. It exceeds the longest pause that the API can request, one hour.
const HUNG_AFTER: Duration = Duration::from_mins(90);

/// The last known counters of a run, and when they last changed.
#[derive(Debug)]
pub(super) struct Pulse {
    seen: Cell<(Snapshot, Usage)>,
    moved_at: Cell<Instant>,
}

impl Pulse {
    pub(super) fn new(seen: (Snapshot, Usage)) -> Self {
        Self { seen: Cell::new(seen), moved_at: Cell::new(Instant::now()) }
    }

    /// Takes the current counters and returns whether the run has made progress recently.
    pub(super) fn beats(&self, seen: (Snapshot, Usage)) -> bool {
        if self.seen.replace(seen) != seen {
            self.moved_at.set(Instant::now());
        }
        self.moved_at.get().elapsed() < HUNG_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_counts_as_alive_during_a_pause_of_an_hour_but_not_for_ever() {
        let still = (Snapshot::default(), Usage::default());
        let pulse = Pulse::new(still);

        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(pulse.beats(still));
        tokio::time::advance(Duration::from_mins(31)).await;
        assert!(!pulse.beats(still));

        assert!(pulse.beats((Snapshot::default(), Usage { requests: 1, ..Usage::default() })));
    }
}
