//! Decides whether broken answers are the fault of single pages or of the API. Pure rules.
//!
//! A broken answer (a 500, or a 200 that is not a page) counts as the failure of its page, because other pages may work.
//! After several consecutive broken answers the API is in doubt: all requests wait while a known good search (one that got
//! a good answer before) is repeated. A good answer shows that the API works and the pages are at fault; a bad one shows an
//! outage. As a result twenty broken pages at the end of a run each fail, while an outage fails no page. Each time the API
//! turns out to work, the number of broken answers for the next doubt doubles.
//!
//! After a pause, too, a single request (the probe) is sent first. If the same broken page were the probe every time, the
//! gate would never open. Therefore probes alternate between the first request in the queue and the known good search.

/// Number of consecutive broken answers that put the API in doubt.
const BROKEN_IN_A_ROW: u32 = 5;

/// Upper limit of that number, which doubles with each doubt in which the API turned out to work.
const MOST_IN_A_ROW: u32 = 40;

/// The state of the doubt about the API.
#[derive(Debug)]
pub(super) struct Doubt {
    after: u32,
    broken_in_a_row: u32,
    asks_known_good: bool,
}

impl Doubt {
    /// The initial state: no doubt.
    pub(super) fn new() -> Self {
        Self { after: BROKEN_IN_A_ROW, broken_in_a_row: 0, asks_known_good: false }
    }

    /// Whether the next probe is the known good search.
    pub(super) fn asks_known_good(&self) -> bool {
        self.asks_known_good
    }

    /// Ends the doubt: the API works. If the known good search has shown it, the next doubt takes twice as many broken
    /// answers; any other answer resets that number.
    pub(super) fn clear(&mut self, has_asked_known_good: bool) {
        let twice = self.after.saturating_mul(2).min(MOST_IN_A_ROW);
        self.after = if has_asked_known_good { twice } else { BROKEN_IN_A_ROW };
        self.broken_in_a_row = 0;
        self.asks_known_good = false;
    }

    /// Counts a broken answer; returns whether the API is in doubt.
    pub(super) fn broken(&mut self) -> bool {
        self.broken_in_a_row = self.broken_in_a_row.saturating_add(1);
        let is_in_doubt = self.broken_in_a_row >= self.after;
        self.asks_known_good |= is_in_doubt;
        is_in_doubt
    }

    /// Puts the API in doubt for another reason.
    pub(super) fn suspect(&mut self) {
        self.asks_known_good = true;
    }

    /// The probe has failed: the next one is of the other kind.
    pub(super) fn probe_failed(&mut self, has_asked_known_good: bool) {
        self.asks_known_good = !has_asked_known_good;
    }
}
