//! The behaviour of the stand-in: latency, limits and faults.

use std::time::Duration;

use super::drift::Drift;

/// The settings of the stand-in, which can be changed while it serves.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Switches {
    /// The latency of a response. A request that exceeds a limit is rejected immediately.
    pub latency: Duration,
    /// Maximum number of requests in flight; further ones get 429.
    pub max_in_flight: Option<usize>,
    /// Maximum number of requests in any second; further ones get 429.
    pub per_second: Option<u32>,
    /// Maximum number of requests per day; further ones are rejected until [`super::Standin::new_day`].
    pub daily_quota: Option<u64>,
    /// Whether the response for an exhausted quota is the documented 400 with code -10, instead of 429.
    pub quota_as_code: bool,
    /// The `Retry-After` of every 429 and 503 that does not set its own.
    pub retry_after: Option<String>,
    /// The only accepted key; `None` accepts any key.
    pub api_key: Option<String>,
    /// Whether the app has no permission, so that every request gets 403.
    pub is_disabled: bool,
    /// Maximum of `pageable_count`.
    pub pageable_cap: u32,
    /// Whether `is_end` is never true.
    pub never_ends: bool,
    /// The share of requests, from 0 to 1, that fail with one of `fault_kinds`.
    pub fault_share: f64,
    /// The faults for `fault_share`, all with the same probability.
    pub fault_kinds: Vec<Fault>,
    /// Faults of all requests for a keyword.
    pub faults_for: Vec<(String, Fault)>,
    /// Whether all results are empty.
    pub is_empty: bool,
    /// A keyword and a number n: every n-th place of the keyword is missing in all its results.
    pub thin_out: Option<(String, u32)>,
    /// How the API has changed.
    pub drift: Option<Drift>,
}

impl Default for Switches {
    /// No latency, no limits, no faults.
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            max_in_flight: None,
            per_second: None,
            daily_quota: None,
            quota_as_code: false,
            retry_after: None,
            api_key: None,
            is_disabled: false,
            pageable_cap: 45,
            never_ends: false,
            fault_share: 0.0,
            fault_kinds: vec![
                Fault::Status(500, false),
                Fault::Status(502, true),
                Fault::Unavailable { retry_after: None },
            ],
            faults_for: Vec::new(),
            is_empty: false,
            thin_out: None,
            drift: None,
        }
    }
}

/// A simulated failure of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A response with this status; as HTML if the second value is `true`, otherwise as JSON.
    Status(u16, bool),
    /// 429.
    Throttled {
        /// Its `Retry-After`.
        retry_after: Option<String>,
    },
    /// 503.
    Unavailable {
        /// Its `Retry-After`.
        retry_after: Option<String>,
    },
    /// 200 with HTML.
    HtmlOk,
    /// 200 without a body.
    Empty,
    /// The first half of the correct JSON, as a complete HTTP body.
    BrokenJson,
    /// The correct response, but the connection is closed in the middle of the body.
    CutBody,
    /// No response until the client disconnects.
    Hang,
    /// The connection is closed without a response.
    Drop,
    /// 200 with exactly this body.
    Body(String),
    /// Exactly this response.
    Reply {
        /// Its status.
        status: u16,
        /// Its `Location`.
        location: Option<String>,
        /// Its body.
        body: String,
    },
}
