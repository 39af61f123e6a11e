//! The gate that every request of the process passes.
//!
//! It holds back what would be too much: more requests than may be in flight, more than the pace allows, or any at all
//! while the API asks for a pause. A retry that waited on its own would let the others go on into the next 429, so the
//! pause is one for all; after it one request goes first, and only its good answer opens the gate again.
//!
//! Work waits here for permits, the next page of an open cell before a new cell. Whoever is first in line keeps the
//! clock for all others: it alone wakes when a pause ends or the pace allows the next request, so that hundreds of
//! waiting cells cost nothing.

mod pace;
mod pause;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use prometheus_client::registry::Registry;

use super::Error;
use super::meters::Meters;
use super::wire::Answer;
use crate::config;
use pace::Pace;
use pause::{Pass, Pause};

/// Nothing but 429 for this long means that the day's quota is spent; the API does not say which it is.
const THROTTLED_FOR_GOOD: Duration = Duration::from_mins(10);

/// Who goes first: lower values do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// A page of a cell that is open already.
    NextPage,
    /// The first page of a cell.
    NewCell,
}

/// Whose failure an answer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The API holds everybody back.
    Gate,
    /// Only this page is concerned.
    Page,
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    max_in_flight: NonZeroUsize,
    give_up_after: Duration,
    meters: Meters,
}

/// How the gate was used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Requests that passed.
    pub requests: u64,
    /// Those that were answered 429.
    pub throttled: u64,
    /// The time that all requests together took.
    pub in_requests: Duration,
}

type Ticket = (Priority, u64);

#[derive(Debug)]
struct State {
    waiting: BTreeMap<Ticket, Arc<Notify>>,
    next_number: u64,
    in_flight: usize,
    pace: Pace,
    pause: Pause,
    last_good: Instant,
    throttled_since: Option<Instant>,
    usage: Usage,
}

/// A place in the line; leaving it lets the next one look.
struct InLine<'a> {
    gate: &'a Gate,
    ticket: Ticket,
    turn: Arc<Notify>,
}

/// The right to send one request. It is never held while waiting for anything else.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    gate: &'a Gate,
    sent_at: Instant,
    pass: Pass,
}

/// Whether the first in line may go.
enum Turn {
    Now(Pass),
    At(Instant),
    WhenCalled,
}

impl Gate {
    pub(super) fn new(settings: &config::Kakao) -> Self {
        let state = State {
            waiting: BTreeMap::new(),
            next_number: 0,
            in_flight: 0,
            pace: Pace::new(settings.requests_per_second),
            pause: Pause::new(settings.backoff),
            last_good: Instant::now(),
            throttled_since: None,
            usage: Usage::default(),
        };
        Self {
            state: Mutex::new(state),
            max_in_flight: settings.max_in_flight,
            give_up_after: settings.give_up_after,
            meters: Meters::new(),
        }
    }

    /// Lets whoever watches from outside see the gate.
    pub fn register(&self, registry: &mut Registry) {
        self.meters.register(registry);
    }

    /// How the gate was used so far.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.lock().usage
    }

    /// Begins a run: the time without a good answer counts from now on.
    pub fn begin(&self) {
        let mut state = self.lock();
        state.last_good = Instant::now();
        state.throttled_since = None;
    }

    /// Waits in line for a permit; `None` where the stop token fires first.
    pub(super) async fn enter(&self, priority: Priority, stop: &CancellationToken) -> Option<Permit<'_>> {
        let place = self.line_up(priority);
        loop {
            if stop.is_cancelled() {
                return None;
            }
            let wake_at = match self.turn(place.ticket) {
                Turn::Now(pass) => return Some(Permit { gate: self, sent_at: Instant::now(), pass }),
                Turn::At(instant) => Some(instant),
                Turn::WhenCalled => None,
            };
            let timer = async {
                match wake_at {
                    Some(instant) => tokio::time::sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = place.turn.notified() => {}
                () = timer => {}
            }
        }
    }

    fn line_up(&self, priority: Priority) -> InLine<'_> {
        let mut state = self.lock();
        let ticket = (priority, state.next_number);
        state.next_number += 1;
        let turn = Arc::new(Notify::new());
        state.waiting.insert(ticket, Arc::clone(&turn));
        InLine { gate: self, ticket, turn }
    }

    fn turn(&self, ticket: Ticket) -> Turn {
        let mut state = self.lock();
        let is_first = state.waiting.first_key_value().is_some_and(|(first, _)| *first == ticket);
        if !is_first || state.in_flight >= self.max_in_flight.get() {
            return Turn::WhenCalled;
        }
        let now = Instant::now();
        if let Some(turn) = state.pause.turn(now) {
            return turn;
        }
        if let Some(slot) = state.pace.next_slot(now) {
            return Turn::At(slot);
        }
        state.pace.take(now);
        state.in_flight += 1;
        state.usage.requests += 1;
        self.meters.in_flight.inc();
        self.meters.pace.set(state.pace.rate(now));
        Turn::Now(state.pause.pass())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here can panic halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn call_first(&self) {
        if let Some(turn) = self.waiting.values().next() {
            turn.notify_one();
        }
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.waiting.remove(&self.ticket);
        state.call_first();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.in_flight -= 1;
        self.gate.meters.in_flight.dec();
        state.usage.in_requests += self.sent_at.elapsed();
        state.pause.end(self.pass);
        state.call_first();
    }
}

impl Permit<'_> {
    /// The API has answered: a pause that it knew of is over.
    fn reopen(&self, state: &mut State, now: Instant) {
        if state.pause.open(self.pass) {
            state.pace.resume(now);
        }
        self.gate.meters.is_paused.set(i64::from(state.pause.is_on()));
    }

    /// Tells the gate what the request brought, and gives the permit back.
    ///
    /// # Errors
    /// When the API has been away or throttling for so long that a run must end.
    pub(super) fn report(self, answer: &Answer) -> Result<Blame, Error> {
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
            Answer::Throttled { retry_after } => {
                state.usage.throttled += 1;
                let since = *state.throttled_since.get_or_insert(now);
                if now - since >= THROTTLED_FOR_GOOD {
                    return Err(Error::QuotaSpent("the API answered nothing but 429 for ten minutes".to_owned()));
                }
                (*retry_after, "429: too many requests")
            }
            Answer::Unavailable { retry_after, why } => (*retry_after, why.as_str()),
            // While others get good answers, the API is not away: only this page hangs.
            Answer::Unreachable(why) if state.last_good <= self.sent_at => (None, why.as_str()),
            Answer::Unreachable(_)
            | Answer::Broken(_)
            | Answer::Refused(_)
            | Answer::KeyRefused(_)
            | Answer::QuotaSpent(_) => {
                self.reopen(&mut state, now);
                return Ok(Blame::Page);
            }
        };
        let silence = now - state.last_good;
        if silence >= self.gate.give_up_after {
            let silence = Duration::from_secs(silence.as_secs());
            return Err(Error::Away { silence, last: last.to_owned() });
        }
        let is_news = state.pause.extend(self.pass, retry_after, now);
        self.gate.meters.is_paused.set(i64::from(state.pause.is_on()));
        if is_news && matches!(answer, Answer::Throttled { .. }) {
            state.pace.throttled(now);
        }
        Ok(Blame::Gate)
    }
}

#[cfg(test)]
mod tests;
