//! Prometheus metrics of the requests.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use tokio::time::Instant;

use super::wire::Answer;
use crate::domain::pause::Pause;

/// The upper bounds of the histogram buckets, in seconds. The default time limit of a request is 10 s.
const BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// All values of the label `outcome`.
const OUTCOMES: [&str; 9] = [
    "good",
    "throttled",
    "unavailable",
    "unexpected",
    "unreachable",
    "broken",
    "refused",
    "key_refused",
    "quota_spent",
];

type Outcome = [(&'static str, &'static str); 1];

/// The metrics of the gate.
#[derive(Debug)]
pub(super) struct Meters {
    requests: Family<Outcome, Counter>,
    durations: Histogram,
    pub(super) in_flight: Gauge,
    is_paused: Gauge,
    paused_until: Gauge,
    pause_cause: Family<Outcome, Gauge>,
    paused_seconds: Family<Outcome, Counter<f64, AtomicU64>>,
    /// The cause of the current pause, and until when its seconds are counted.
    counted: Mutex<Option<(&'static str, Instant)>>,
    pub(super) pace: Gauge<f64, AtomicU64>,
}

impl Meters {
    /// All metrics at zero. Every series exists from the start, so that its first increase is visible to Prometheus.
    pub(super) fn new() -> Self {
        let requests = Family::default();
        for outcome in OUTCOMES {
            drop(requests.get_or_create(&[("outcome", outcome)]));
        }
        let (pause_cause, paused_seconds) = (Family::default(), Family::default());
        for outcome in OUTCOMES {
            drop(pause_cause.get_or_create(&[("outcome", outcome)]));
            drop(paused_seconds.get_or_create(&[("outcome", outcome)]));
        }
        Self {
            requests,
            durations: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            is_paused: Gauge::default(),
            paused_until: Gauge::default(),
            pause_cause,
            paused_seconds,
            counted: Mutex::new(None),
            pace: Gauge::default(),
        }
    }

    /// Records the outcome and the duration of a request.
    pub(super) fn observe(&self, answer: &Answer, elapsed: Duration) {
        self.requests.get_or_create(&[("outcome", outcome(answer))]).inc();
        self.durations.observe(elapsed.as_secs_f64());
    }

    /// Sets the metrics of the pause; `cause` is the answer that began or lengthened it.
    pub(super) fn show_pause(&self, pause: Option<&Pause>, cause: Option<&Answer>) {
        self.is_paused.set(i64::from(pause.is_some()));
        let until = pause.and_then(|pause| pause.until);
        self.paused_until.set(until.map_or(0, |until| until.timestamp()));
        let cause = cause.map(outcome).filter(|_| pause.is_some());
        self.count_paused(pause.is_some(), cause);
        if cause.is_some() || pause.is_none() {
            for outcome in OUTCOMES {
                self.pause_cause.get_or_create(&[("outcome", outcome)]).set(i64::from(cause == Some(outcome)));
            }
        }
    }

    /// The outcome that caused the current pause.
    pub(super) fn pause_cause(&self) -> Option<&'static str> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).map(|(cause, _)| cause)
    }

    /// Adds the time since the last call to the seconds of the current pause, if there is one.
    fn count_paused(&self, is_paused: bool, cause: Option<&'static str>) {
        let (now, mut counted) = (Instant::now(), self.counted.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some((cause, until)) = *counted {
            self.paused_seconds.get_or_create(&[("outcome", cause)]).inc_by((now - until).as_secs_f64());
        }
        let cause = cause.or(counted.map(|(cause, _)| cause));
        *counted = cause.filter(|_| is_paused).map(|cause| (cause, now));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests to the API, by what they brought", self.requests.clone());
        let help = "How long requests to the API took";
        registry.register("request_duration_seconds", help, self.durations.clone());
        registry.register("requests_in_flight", "Requests that wait for an answer", self.in_flight.clone());
        registry.register("gate_paused", "1 while no request is sent", self.is_paused.clone());
        let help = "When the next request is tried; 0: requests are sent";
        registry.register("gate_paused_until_timestamp_seconds", help, self.paused_until.clone());
        let help = "1 for the outcome of the request that made all others wait";
        registry.register("gate_pause_cause", help, self.pause_cause.clone());
        let help = "How long no request was sent, by the outcome of the request that made all others wait";
        registry.register("gate_paused_seconds", help, self.paused_seconds.clone());
        let help = "Requests per second that the pace allows; 0: as many as are answered";
        registry.register("gate_pace_requests_per_second", help, self.pace.clone());
    }
}

fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Good(_) => "good",
        Answer::Throttled { .. } => "throttled",
        Answer::Unavailable { .. } => "unavailable",
        Answer::Unexpected { .. } => "unexpected",
        Answer::Unreachable(_) => "unreachable",
        Answer::Broken(_) => "broken",
        Answer::Refused(_) => "refused",
        Answer::KeyRefused(_) => "key_refused",
        Answer::QuotaSpent(_) => "quota_spent",
    }
}
