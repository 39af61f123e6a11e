//! Reproducible random instants.

use std::ops::Range;
use std::time::Duration;

use sanggwond::standin;

/// A stream of pseudo-random numbers.
pub(crate) struct Chance(standin::Chance);

impl Chance {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(standin::Chance::of(&[seed]))
    }

    /// A number within a range; its start if the range is empty.
    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.0.bits() % (range.end.saturating_sub(range.start)).max(1)
    }

    /// A duration below this number of milliseconds.
    pub(crate) fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.within(0..end))
    }
}
