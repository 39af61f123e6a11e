//! The gate that every request of the process passes: a concurrency limit, a rate limit, and a shared pause.
//!
//! If only the request that got a 429 waited, the other requests would continue and get 429s as well. Therefore a pause
//! applies to all requests. At its end a single request (the probe) is sent. The gate opens if the API answers the probe;
//! otherwise the pause is lengthened.
//!
//! Requests wait in a queue for permits. The next page of an open cell goes before the first page of a new cell. Only the
//! first request in the queue has a timer: for the end of the pause, or for the time at which the rate limit allows the next
//! request. When it leaves the queue, the new first request is notified. The other requests sleep, so hundreds of waiting
//! cells cost no CPU time.

mod doubt;
mod pace;
mod pause;
mod permit;
mod shown;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use prometheus_client::registry::Registry;

use super::meters::Meters;
use crate::config;
use doubt::Doubt;
use pace::Pace;
use pause::{Pass, Pause};
use shown::Shown;

pub(super) use permit::Permit;

/// The priority of a request in the queue; the first variant goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Priority {
    /// A further page of an open cell.
    NextPage,
    /// The first page of a cell.
    NewCell,
}

/// What a failure is attributed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The API as a whole (an outage, or too many requests): the failure does not count towards `kakao.max_attempts`.
    Gate {
        /// Whether another request got a good answer since this page last failed.
        are_others_answered: bool,
    },
    /// Only this page.
    Page,
}

/// The gate.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    max_in_flight: NonZeroUsize,
    interrupt_after: Duration,
    meters: Meters,
}

/// Totals since the gate was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Permits granted.
    pub requests: u64,
    /// Requests answered with 429.
    pub throttled: u64,
    /// Total time for which permits were held.
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
    shown: Shown,
    doubt: Doubt,
    last_good: Instant,
    throttled_since: Option<Instant>,
    usage: Usage,
}

/// A position in the queue. Dropping it leaves the queue and notifies the first request in it.
struct QueuePosition<'a> {
    gate: &'a Gate,
    ticket: Ticket,
    turn: Arc<Notify>,
}

/// When a request in the queue may be sent.
enum Turn {
    /// Now. If the flag is true, a known good search must be sent instead.
    Now(Pass, bool),
    /// Not before this instant: a pause is on, or the rate limit is reached.
    At(Instant),
    /// After a notification: the request is not the first in the queue, too many requests are in flight, or the probe is in
    /// flight.
    WhenNotified,
}

impl Gate {
    pub(super) fn new(settings: &config::Kakao) -> Self {
        let state = State {
            waiting: BTreeMap::new(),
            next_number: 0,
            in_flight: 0,
            pace: Pace::new(settings.requests_per_second),
            pause: Pause::new(settings.backoff),
            shown: Shown::default(),
            doubt: Doubt::new(),
            last_good: Instant::now(),
            throttled_since: None,
            usage: Usage::default(),
        };
        Self {
            state: Mutex::new(state),
            max_in_flight: settings.max_in_flight,
            interrupt_after: settings.interrupt_after,
            meters: Meters::new(),
        }
    }

    /// Registers the metrics of the gate.
    pub fn register(&self, registry: &mut Registry) {
        self.meters.register(registry);
    }

    /// Number of requests in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.lock().in_flight
    }

    /// The outcome that caused the current pause, as a label; `None` while requests are sent.
    #[must_use]
    pub fn pause_cause(&self) -> Option<&'static str> {
        self.meters.pause_cause()
    }

    /// Maximum number of requests in flight.
    #[must_use]
    pub fn max_in_flight(&self) -> usize {
        self.max_in_flight.get()
    }

    /// Totals since the gate was created.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.lock().usage
    }

    /// The current pause; `None` while the gate is open.
    #[must_use]
    pub fn pause(&self) -> Option<crate::domain::pause::Pause> {
        self.lock().shown.pause(Instant::now())
    }

    /// Begins a run: the time without a good answer is measured from now on.
    pub fn begin(&self) {
        let mut state = self.lock();
        state.last_good = Instant::now();
        state.throttled_since = None;
        state.doubt.clear(false);
    }

    /// Marks the API as in doubt: all other requests wait until one request (the probe) is answered. If the probe fails, that
    /// counts as an outage, and not as a failure of the requested page.
    pub fn suspect(&self) {
        let mut state = self.lock();
        if !state.pause.is_on() {
            state.pause.let_one_go_first(Instant::now());
            state.doubt.suspect();
        }
    }

    /// Waits in the queue for a permit; `None` if the stop token is cancelled first.
    pub(super) async fn enter(&self, priority: Priority, stop: &CancellationToken) -> Option<Permit<'_>> {
        let position = self.enqueue(priority);
        loop {
            if stop.is_cancelled() {
                return None;
            }
            let wake_at = match self.turn(position.ticket) {
                Turn::Now(pass, asks_known_good) => {
                    let sent_at = Instant::now();
                    return Some(Permit { gate: self, sent_at, pass, asks_known_good, failed_at: None });
                }
                Turn::At(instant) => Some(instant),
                Turn::WhenNotified => None,
            };
            let timer = async {
                match wake_at {
                    Some(instant) => tokio::time::sleep_until(instant).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return None,
                () = position.turn.notified() => {}
                () = timer => {}
            }
        }
    }

    fn enqueue(&self, priority: Priority) -> QueuePosition<'_> {
        let mut state = self.lock();
        let ticket = (priority, state.next_number);
        state.next_number += 1;
        let turn = Arc::new(Notify::new());
        state.waiting.insert(ticket, Arc::clone(&turn));
        QueuePosition { gate: self, ticket, turn }
    }

    /// When the request with this ticket may be sent. If that is now, its permit is counted.
    fn turn(&self, ticket: Ticket) -> Turn {
        let mut state = self.lock();
        let is_first = state.waiting.first_key_value().is_some_and(|(first, _)| *first == ticket);
        if !is_first || state.in_flight >= self.max_in_flight.get() {
            return Turn::WhenNotified;
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
        let pass = state.pause.pass();
        Turn::Now(pass, pass.is_probe && state.doubt.asks_known_good())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Code that holds the lock does not panic in the middle of a change, so the state is consistent even if poisoned.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn notify_first(&self) {
        if let Some(turn) = self.waiting.values().next() {
            turn.notify_one();
        }
    }
}

impl Drop for QueuePosition<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        state.waiting.remove(&self.ticket);
        state.notify_first();
    }
}

#[cfg(test)]
mod tests;
