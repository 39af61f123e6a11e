//! How the stand-in behaves: its speed, its limits and its faults.

use std::time::Duration;

/// Everything that can be switched, also while it serves.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Switches {
    /// How long an answer takes; a request that meets a limit is refused at once.
    pub latency: Duration,
    /// How many requests may be in flight; one more meets 429.
    pub max_in_flight: Option<usize>,
    /// How many requests may come within any second; one more meets 429.
    pub per_second: Option<u32>,
    /// How many requests are answered a day; the next ones are refused until [`super::Standin::new_day`].
    pub daily_quota: Option<u64>,
    /// Whether a spent quota is the documented 400 with code -10 instead of 429.
    pub quota_as_code: bool,
    /// The `Retry-After` of every 429 and 503 that has none of its own.
    pub retry_after: Option<String>,
    /// The only key that is let in; `None`: any.
    pub api_key: Option<String>,
    /// Whether the app has lost its permission: 403.
    pub is_disabled: bool,
    /// The highest `pageable_count`.
    pub pageable_cap: u32,
    /// Whether `is_end` is never true.
    pub never_ends: bool,
    /// The share of requests that meet one of `fault_kinds`.
    pub fault_share: f64,
    /// What a share of the requests meets, each as often as the others.
    pub fault_kinds: Vec<Fault>,
    /// Faults that every request for a keyword meets.
    pub faults_for: Vec<(String, Fault)>,
    /// Whether nothing is found by anything.
    pub is_empty: bool,
    /// A keyword of which every n-th place of the world is missing, in all searches.
    pub thin_out: Option<(String, u32)>,
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
        }
    }
}

/// Something that goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An answer of this status, as HTML or not.
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
    /// The right answer, cut in the middle, in a complete HTTP body.
    BrokenJson,
    /// The right answer with its length, but the connection is closed in the middle of it.
    CutBody,
    /// No answer until the client goes away.
    Hang,
    /// The connection is closed without an answer.
    Drop,
    /// 200 with exactly this body.
    Body(String),
}
