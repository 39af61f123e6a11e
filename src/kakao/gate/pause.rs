//! The pause that all requests share.
//!
//! Requests in flight when a pause begins belong to the epoch before it: their good answers do not end the pause, and their
//! failures lengthen it only if they carry a longer Retry-After.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::Turn;

/// The lengths of consecutive pauses, as multiples of the first wait. The last value repeats.
const WAITS: [u32; 6] = [1, 2, 4, 8, 16, 60];

/// The state of the pause when a request was permitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    epoch: u64,
    /// Whether the request is the probe, the only one in flight after a pause.
    pub(super) is_probe: bool,
}

/// The gate is open, or closed until an instant. After that instant one request at a time (the probe) is sent, until the
/// API answers one.
#[derive(Debug)]
pub(super) struct Pause {
    first_wait: Duration,
    epoch: u64,
    /// Number of consecutive pauses; 0: none.
    level: usize,
    until: Option<Instant>,
    has_probe: bool,
}

impl Pause {
    pub(super) fn new(first_wait: Duration) -> Self {
        Self { first_wait, epoch: 0, level: 0, until: None, has_probe: false }
    }

    /// When the probe may be sent, also if it is in flight already; `None`: the gate is open.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether no request may be sent, or only the probe.
    pub(super) fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// What the next request must wait for; `None`: nothing.
    pub(super) fn turn(&self, now: Instant) -> Option<Turn> {
        let until = self.until?;
        if now < until { Some(Turn::At(until)) } else { self.has_probe.then_some(Turn::WhenNotified) }
    }

    /// Permits one request, which is the probe if a pause is on.
    pub(super) fn pass(&mut self) -> Pass {
        self.has_probe = self.until.is_some();
        Pass { epoch: self.epoch, is_probe: self.has_probe }
    }

    /// An answer shows that the API works; returns whether that ends a pause.
    ///
    /// Only a request of the current epoch ends a pause. If requests wait only because of a doubt, one from an earlier epoch
    /// does, too.
    pub(super) fn open(&mut self, pass: Pass) -> bool {
        if pass.epoch == self.epoch || self.level == 0 {
            self.level = 0;
            return self.until.take().is_some();
        }
        false
    }

    /// Begins or lengthens the pause after a failed request; returns whether it is the first failure of its epoch.
    pub(super) fn extend(&mut self, pass: Pass, retry_after: Option<Duration>, now: Instant) -> bool {
        let is_news = pass.epoch == self.epoch;
        if is_news {
            self.epoch += 1;
            self.level += 1;
        }
        // A failure of an earlier epoch has started its pause already.
        if is_news {
            let usual = self.first_wait.saturating_mul(WAITS[self.level.saturating_sub(1).min(WAITS.len() - 1)]);
            self.until = Some(now + usual + jitter(usual));
        }
        // Retry-After never shortens the pause.
        if let Some(wait) = retry_after {
            self.until = self.until.max(Some(now + wait));
        }
        is_news
    }

    /// Requires a probe before any other request is sent, without a wait.
    pub(super) fn let_one_go_first(&mut self, now: Instant) {
        self.epoch += 1;
        self.until = Some(now);
    }

    /// A request has ended, with or without an answer.
    pub(super) fn end(&mut self, pass: Pass) {
        self.has_probe &= !pass.is_probe;
    }
}

/// A random duration of up to a tenth of a wait, so that clients that were rejected together do not return together.
fn jitter(wait: Duration) -> Duration {
    // The random keys of the standard library's hash maps are good enough here, and need no further crate.
    let random = RandomState::new().build_hasher().finish();
    let share = (random % 1024) as u32;
    wait * share / 10_240
}
