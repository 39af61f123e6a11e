//! What has arrived, what is being answered, and the log of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hyper::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, USER_AGENT};
use tokio::sync::watch;

use super::limits::Verdict;
use super::locked;

/// One request as it arrived, and the status of its answer.
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
    /// The status of the answer; 0 where there is none, or none yet.
    pub status: u16,
}

impl Recorded {
    /// Takes what a request says about itself.
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
    /// Requests that have arrived.
    pub(super) requests: watch::Sender<u64>,
    /// Whether answers are held back.
    pub(super) held: watch::Sender<bool>,
    /// Connections accepted.
    pub(super) connections: AtomicU64,
    /// Requests refused for a limit, injected 429s included.
    pub(super) throttled: AtomicU64,
    /// Injected faults.
    pub(super) faults: AtomicU64,
    /// Requests that have arrived and have no answer yet.
    pub(super) in_flight: AtomicUsize,
    /// The most requests that were ever in flight.
    pub(super) peak: AtomicUsize,
    log: Mutex<Log>,
}

#[derive(Debug, Default)]
struct Log {
    is_on: bool,
    entries: Vec<Recorded>,
}

impl Traffic {
    /// Lets a request in; it is in flight until the result is dropped.
    pub(super) fn arrive(&self, entry: impl FnOnce() -> Recorded) -> Arrival<'_> {
        let in_flight = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.peak.fetch_max(in_flight, Ordering::SeqCst);
        let entry = locked(&self.log).append(entry);
        Arrival { traffic: self, in_flight, entry }
    }

    /// Counts a request and what it meets.
    pub(super) fn count(&self, verdict: &Verdict) {
        if verdict.is_throttled() {
            self.throttled.fetch_add(1, Ordering::SeqCst);
        }
        if matches!(verdict, Verdict::Fault(_)) {
            self.faults.fetch_add(1, Ordering::SeqCst);
        }
        // Last: whoever waits for so many requests finds the other counters right.
        self.requests.send_modify(|requests| *requests += 1);
    }

    /// Waits while answers are held back.
    pub(super) async fn released(&self) {
        // The sender lives as long as `self`, so that waiting cannot fail.
        self.held.subscribe().wait_for(|held| !held).await.ok();
    }

    /// Turns the log on or off; what it holds stays.
    pub(super) fn record(&self, on: bool) {
        locked(&self.log).is_on = on;
    }

    /// What was logged, in the order of arrival.
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
    /// How many were in flight with it.
    pub(super) in_flight: usize,
    entry: Option<usize>,
}

impl Arrival<'_> {
    /// Logs the status of the answer.
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
