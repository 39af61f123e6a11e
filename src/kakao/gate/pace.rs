//! How fast requests may follow each other.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two requests, and when the next one is due.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Option<Instant>,
}

impl Pace {
    pub(super) fn new(requests_per_second: Option<f64>) -> Self {
        let interval = requests_per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
        Self { interval, next: None }
    }

    /// When the next request may go, unless that is now.
    pub(super) fn next_slot(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// Takes the slot that is due. A late start is caught up by at most one interval, so there are no bursts.
    pub(super) fn take(&mut self, now: Instant) {
        let due = self.next.map_or(now, |next| next.max(now.checked_sub(self.interval).unwrap_or(now)));
        self.next = (!self.interval.is_zero()).then(|| due + self.interval);
    }
}
