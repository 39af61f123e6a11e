//! The permit to send one request, and how its answer changes the gate.

use std::time::Duration;

use tokio::time::Instant;

use super::pause::Pass;
use super::shown::Why;
use super::{Blame, Gate, State};
use crate::clock;
use crate::kakao::Error;
use crate::kakao::wire::Answer;

/// If the API answers nothing but 429 for this long, the quota counts as spent. A 429 does not say whether the rate or the
/// quota is exceeded.
const THROTTLED_FOR_GOOD: Duration = Duration::from_mins(10);

/// A permit to send one request. It counts as in flight, so it is never held while waiting for anything but the answer.
#[derive(Debug)]
pub(in crate::kakao) struct Permit<'a> {
    pub(super) gate: &'a Gate,
    pub(super) sent_at: Instant,
    pub(super) pass: Pass,
    pub(super) asks_known_good: bool,
    /// When the page last failed; `None`: never.
    pub(super) failed_at: Option<Instant>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.in_flight -= 1;
        self.gate.meters.in_flight.dec();
        state.usage.in_requests += self.sent_at.elapsed();
        state.pause.end(self.pass);
        state.notify_first();
    }
}

impl Permit<'_> {
    /// Sets when the page of this request last failed.
    pub(in crate::kakao) fn for_page_that_failed(mut self, failed_at: Option<Instant>) -> Self {
        self.failed_at = failed_at;
        self
    }

    /// Whether the request must be a known good search, to show whether the API works.
    pub(in crate::kakao) fn asks_known_good(&self) -> bool {
        self.asks_known_good
    }

    /// Reports the answer to the gate and releases the permit.
    ///
    /// # Errors
    /// When there was no good answer for `kakao.interrupt_after`, or nothing but 429 for ten minutes.
    pub(in crate::kakao) fn report(self, answer: &Answer) -> Result<Blame, Error> {
        let now = Instant::now();
        let mut state = self.gate.lock();
        self.gate.meters.observe(answer, now - self.sent_at);
        if !matches!(answer, Answer::Throttled { .. }) {
            state.throttled_since = None;
        }
        let (retry_after, last) = match answer {
            Answer::Good(_) => {
                state.last_good = now;
                state.pace.answered(now);
                self.reopen(&mut state, now);
                return Ok(Blame::Page);
            }
            // Kakao itself has answered, so there is no outage.
            Answer::Refused(_) | Answer::KeyRefused(_) | Answer::QuotaSpent(_) => {
                self.reopen(&mut state, now);
                return Ok(Blame::Page);
            }
            Answer::Throttled { retry_after } => {
                state.usage.throttled += 1;
                let since = *state.throttled_since.get_or_insert(now);
                if now - since >= THROTTLED_FOR_GOOD {
                    return Err(Error::QuotaSpent("the API answered nothing but 429 for ten minutes".to_owned()));
                }
                (*retry_after, "429: too many requests")
            }
            Answer::Unavailable { retry_after, why } | Answer::Unexpected { retry_after, why } => {
                (*retry_after, why.as_str())
            }
            Answer::Unreachable(why) | Answer::Broken(why) => (None, why.as_str()),
        };
        let are_others_answered = self.failed_at.is_some_and(|failed_at| state.last_good > failed_at);
        if self.is_failure_of_its_page(&mut state, answer, are_others_answered) {
            return Ok(Blame::Page);
        }
        let silence = now - state.last_good;
        if silence >= self.gate.interrupt_after {
            let silence = Duration::from_secs(silence.as_secs());
            return Err(Error::Away { silence, last: last.to_owned() });
        }
        self.close(&mut state, answer, (retry_after, last), now);
        Ok(Blame::Gate { are_others_answered })
    }

    /// Whether a failure is attributed to this page alone. During a pause it never is: the API was in trouble before.
    fn is_failure_of_its_page(&self, state: &mut State, answer: &Answer, are_others_answered: bool) -> bool {
        if state.pause.is_on() {
            return false;
        }
        match answer {
            Answer::Broken(_) => !state.doubt.broken(),
            Answer::Unexpected { .. } => are_others_answered,
            // While other requests get good answers, the API is reachable: only this page hangs.
            Answer::Unreachable(_) => are_others_answered || state.last_good > self.sent_at,
            Answer::Good(_)
            | Answer::Throttled { .. }
            | Answer::Unavailable { .. }
            | Answer::Refused(_)
            | Answer::KeyRefused(_)
            | Answer::QuotaSpent(_) => false,
        }
    }

    /// The API has answered: ends the doubt, and the pause under the conditions of `Pause::open`.
    fn reopen(&self, state: &mut State, now: Instant) {
        state.doubt.clear(self.asks_known_good);
        if state.pause.open(self.pass) {
            state.pace.resume(now);
            state.shown.end(now);
        }
        self.gate.meters.show_pause(state.shown.pause(now).as_ref(), None);
    }

    /// The failure concerns the API as a whole: begins a pause or lengthens it.
    fn close(&self, state: &mut State, answer: &Answer, (retry_after, reason): (Option<Duration>, &str), now: Instant) {
        if matches!(answer, Answer::Broken(_)) && !state.pause.is_on() {
            // Requests wait for one probe only, so this is not shown as a pause.
            state.pause.let_one_go_first(now);
            return;
        }
        let is_throttled = matches!(answer, Answer::Throttled { .. });
        let is_news = state.pause.extend(self.pass, retry_after, now);
        self.show(state, answer, reason, now);
        if is_news && is_throttled {
            state.pace.throttled(now);
        } else if is_news && self.pass.is_probe {
            state.doubt.probe_failed(self.asks_known_good);
        }
    }

    /// Logs the pause and updates what observers see of it.
    fn show(&self, state: &mut State, answer: &Answer, reason: &str, now: Instant) {
        if let Some(until) = state.pause.until() {
            let left = |since: Instant, limit: Duration| limit.saturating_sub(now - since);
            let away_in = left(state.last_good, self.gate.interrupt_after);
            let spent_in = state.throttled_since.map(|since| left(since, THROTTLED_FOR_GOOD));
            let interrupted_in = spent_in.map_or(away_in, |spent_in| away_in.min(spent_in));
            state.shown.extend(Why { reason, until, interrupted_in }, now, clock::now());
        }
        self.gate.meters.show_pause(state.shown.pause(now).as_ref(), Some(answer));
    }
}
