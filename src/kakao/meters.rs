//! What is measured of the requests, for whoever watches from outside.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::wire::Answer;

/// The upper bounds of the durations, in seconds; the time limit of a request is usually 10 s.
const BUCKETS: [f64; 10] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Every outcome that a request can have.
const OUTCOMES: [&str; 8] =
    ["good", "throttled", "unavailable", "unreachable", "broken", "refused", "key_refused", "quota_spent"];

type Outcome = [(&'static str, &'static str); 1];

/// The meters of the gate.
#[derive(Debug)]
pub(super) struct Meters {
    requests: Family<Outcome, Counter>,
    durations: Histogram,
    pub(super) in_flight: Gauge,
    pub(super) is_paused: Gauge,
    pub(super) pace: Gauge<f64, std::sync::atomic::AtomicU64>,
}

impl Meters {
    /// Meters at zero, with every series there from the start.
    pub(super) fn new() -> Self {
        let requests = Family::default();
        for outcome in OUTCOMES {
            drop(requests.get_or_create(&[("outcome", outcome)]));
        }
        Self {
            requests,
            durations: Histogram::new(BUCKETS),
            in_flight: Gauge::default(),
            is_paused: Gauge::default(),
            pace: Gauge::default(),
        }
    }

    /// Counts a request by what it brought and how long it took.
    pub(super) fn observe(&self, answer: &Answer, elapsed: Duration) {
        self.requests.get_or_create(&[("outcome", outcome(answer))]).inc();
        self.durations.observe(elapsed.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests to the API, by what they brought", self.requests.clone());
        let help = "How long requests to the API took";
        registry.register("request_duration_seconds", help, self.durations.clone());
        registry.register("requests_in_flight", "Requests that wait for an answer", self.in_flight.clone());
        registry.register("gate_paused", "1 while the API has asked all requests to wait", self.is_paused.clone());
        let help = "Requests per second that the pace allows; 0: as many as are answered";
        registry.register("gate_pace_requests_per_second", help, self.pace.clone());
    }
}

fn outcome(answer: &Answer) -> &'static str {
    match answer {
        Answer::Good(_) => "good",
        Answer::Throttled { .. } => "throttled",
        Answer::Unavailable { .. } => "unavailable",
        Answer::Unreachable(_) => "unreachable",
        Answer::Broken(_) => "broken",
        Answer::Refused(_) => "refused",
        Answer::KeyRefused(_) => "key_refused",
        Answer::QuotaSpent(_) => "quota_spent",
    }
}
