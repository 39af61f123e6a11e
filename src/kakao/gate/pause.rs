//! The pause that all requests share.
//!
//! Requests in flight when a pause begins belong to the epoch before it: their failures do not lengthen it, and their good
//! answers do not end it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::Turn;

/// How many times the first wait each pause in a row lasts; the last one goes on.
const WAITS: [u32; 6] = [1, 2, 4, 8, 16, 60];

/// What a request must remember of the pause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    epoch: u64,
    is_probe: bool,
}

/// Open, or closed until an instant, with at most one request to try it.
#[derive(Debug)]
pub(super) struct Pause {
    first_wait: Duration,
    epoch: u64,
    /// Pauses in a row; none: open.
    level: usize,
    until: Option<Instant>,
    has_probe: bool,
}

impl Pause {
    pub(super) fn new(first_wait: Duration) -> Self {
        Self { first_wait, epoch: 0, level: 0, until: None, has_probe: false }
    }

    /// Whether the door is closed, or only one request tries it.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Why nobody may pass now; `None`: go on.
    pub(super) fn turn(&self, now: Instant) -> Option<Turn> {
        let until = self.until?;
        if now < until { Some(Turn::At(until)) } else { self.has_probe.then_some(Turn::WhenCalled) }
    }

    /// Lets one request pass.
    pub(super) fn pass(&mut self) -> Pass {
        self.has_probe = self.until.is_some();
        Pass { epoch: self.epoch, is_probe: self.has_probe }
    }

    /// A request came back with proof that the API works; returns whether that ends a pause.
    pub(super) fn open(&mut self, pass: Pass) -> bool {
        if pass.epoch == self.epoch {
            self.level = 0;
            return self.until.take().is_some();
        }
        false
    }

    /// A request met a closed door; returns whether that was news.
    pub(super) fn extend(&mut self, pass: Pass, retry_after: Option<Duration>, now: Instant) -> bool {
        let is_news = pass.epoch == self.epoch;
        if is_news {
            self.epoch += 1;
            self.level += 1;
        }
        // News that came late finds no pause, or a later one.
        let usual = self.first_wait.saturating_mul(WAITS[self.level.saturating_sub(1).min(WAITS.len() - 1)]);
        match retry_after {
            Some(wait) => self.until = self.until.max(Some(now + wait)),
            None if is_news => self.until = Some(now + usual + jitter(usual)),
            None => {}
        }
        is_news
    }

    /// A request is over, whatever it brought.
    pub(super) fn end(&mut self, pass: Pass) {
        self.has_probe &= !pass.is_probe;
    }
}

/// Up to a tenth of a wait, so that clients that were thrown out together do not come back together.
fn jitter(wait: Duration) -> Duration {
    // The standard library's random keys are random enough for this.
    let random = RandomState::new().build_hasher().finish();
    let share = (random % 1024) as u32;
    wait * share / 10_240
}
