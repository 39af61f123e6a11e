//! Counters of the stand-in, the number of requests in flight, and the request log.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, USER_AGENT};
use tokio::sync::watch;

use super::limits::Verdict;
use super::locked;

/// One request, and the status of its response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// The path without the parameters.
    pub path: String,
    /// The parameters, decoded.
    pub params: BTreeMap<String, String>,
    /// The `User-Agent`.
    pub user_agent: Option<String>,
    /// The `Authorization`, with the key.
    pub authorization: Option<String>,
    /// The `Accept-Encoding`.
    pub accept_encoding: Option<String>,
    /// The status of the response; 0 if there is none, or none yet.
    pub status: u16,
}

impl Recorded {
    /// Creates a log entry from a request.
    pub(super) fn new(path: &str, params: &BTreeMap<String, String>, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.to_owned());
        Self {
            path: path.to_owned(),
            params: params.clone(),
            user_agent: text(USER_AGENT),
            authorization: text(AUTHORIZATION),
            accept_encoding: text(ACCEPT_ENCODING),
            status: 0,
        }
    }
}

/// The counters and the log of one stand-in.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Requests received.
    pub(super) requests: watch::Sender<u64>,
    /// Whether responses are held back.
    pub(super) held: watch::Sender<bool>,
    /// Connections accepted.
    pub(super) connections: AtomicU64,
    /// Requests rejected because of a limit, including injected 429 faults.
    pub(super) throttled: AtomicU64,
    /// Injected faults.
    pub(super) faults: AtomicU64,
    /// Requests without a response yet.
    pub(super) in_flight: AtomicUsize,
    /// The highest number of requests in flight so far.
    pub(super) peak: AtomicUsize,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    is_on: bool,
    entries: Vec<Recorded>,
}

impl Traffic {
    /// Records a request. It is in flight until the result is dropped.
    pub(super) fn arrive(&self, entry: impl FnOnce() -> Recorded) -> Arrival<'_> {
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(in_flight, Ordering::SeqCst);
        let entry = locked(&self.log).append(entry);
        Arrival { traffic: self, in_flight, entry }
    }

    /// Counts a request and the decision about it.
    pub(super) fn count(&self, verdict: &Verdict) {
        if verdict.is_throttled() {
            self.throttled.fetch_add(1, Ordering::SeqCst);
        }
        if matches!(verdict, Verdict::Fault(_)) {
            self.faults.fetch_add(1, Ordering::SeqCst);
        }
        // This must come last: when a test has waited for a number of requests, the other counters must be up to date.
        self.requests.send_modify(|requests| *requests += 1);
    }

    /// Waits while responses are held back.
    pub(super) async fn released(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        self.held.subscribe().wait_for(|held| !held).await.ok();
    }

    /// Turns the log on or off; existing entries are kept.
    pub(super) fn record(&self, on: bool) {
        locked(&self.log).is_on = on;
    }

    /// The log entries, in order of arrival.
    pub(super) fn recorded(&self) -> Vec<Recorded> {
        locked(&self.log).entries.clone()
    }
}

impl Log {
    fn append(&mut self, entry: impl FnOnce() -> Recorded) -> Option<usize> {
        self.is_on.then(|| {
            self.entries.push(entry());
            self.entries.len() - 1
        })
    }
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    traffic: &'a Traffic,
    /// The number of requests in flight, including this one.
    pub(super) in_flight: usize,
    entry: Option<usize>,
}

impl Arrival<'_> {
    /// Logs the status of the response.
    pub(super) fn answered(&self, status: u16) {
        if let Some(entry) = self.entry {
            locked(&self.traffic.log).entries[entry].status = status;
        }
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.traffic.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}
