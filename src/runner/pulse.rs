//! Whether a run gets on: what feeds the watchdog while it is at work.
//!
//! The lock answers as long as the process turns, which would hide a crawl that waits for itself. A pause that the API asks
//! for is no reason to end the process, so only what is still for longer than any pause counts as hanging.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::crawl::progress::Snapshot;
use crate::kakao::gate::Usage;

/// A run that is still for so long hangs. The API may ask for a pause of an hour.
const STILL: Duration = Duration::from_mins(90);

/// What was seen of a run, and when it last moved.
#[derive(Debug)]
pub(super) struct Pulse {
    seen: Cell<(Snapshot, Usage)>,
    moved_at: Cell<Instant>,
}

impl Pulse {
    pub(super) fn new(seen: (Snapshot, Usage)) -> Self {
        Self { seen: Cell::new(seen), moved_at: Cell::new(Instant::now()) }
    }

    /// Whether the run has moved lately, as of what is seen of it now.
    pub(super) fn beats(&self, seen: (Snapshot, Usage)) -> bool {
        if self.seen.replace(seen) != seen {
            self.moved_at.set(Instant::now());
        }
        self.moved_at.get().elapsed() < STILL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_run_beats_through_a_pause_of_an_hour_but_not_for_ever() {
        let still = (Snapshot::default(), Usage::default());
        let pulse = Pulse::new(still);

        tokio::time::advance(Duration::from_hours(1)).await;
        assert!(pulse.beats(still));
        tokio::time::advance(Duration::from_mins(31)).await;
        assert!(!pulse.beats(still));

        assert!(pulse.beats((Snapshot::default(), Usage { requests: 1, ..Usage::default() })));
    }
}
