//! Decides whether a page is requested again after a failure. Pure functions.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::Error;
use super::gate::Blame;
use super::wire::{Answer, Page};

/// Number of failures of one page, attributed to the API (such as 429 or 503) while other requests got good answers, at
/// which the cell of the page fails.
const MAX_GATE_FAILURES: u32 = 50;

/// Maximum wait that a Retry-After header can request. A longer wait is shortened to it.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// What to do after an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// The page was received.
    Page(Page),
    /// Send the request again as soon as the gate permits.
    Again,
    /// Send the request again after a wait.
    AgainAfter(Duration),
    /// Do not try again.
    Fail(Error),
}

/// The failures of one page.
#[derive(Debug)]
pub(super) struct Attempts {
    own_failures: u32,
    gate_failures: u32,
    failed_at: Option<Instant>,
    max: NonZeroU32,
    backoff: Duration,
    last_failure: String,
}

impl Attempts {
    pub(super) fn new(max: NonZeroU32, backoff: Duration) -> Self {
        Self { own_failures: 0, gate_failures: 0, failed_at: None, max, backoff, last_failure: String::new() }
    }

    /// Whether the page has failed before, so that its next request is a retry.
    pub(super) fn have_failed(&self) -> bool {
        self.failed_at.is_some()
    }

    /// When the page last failed; `None`: never.
    pub(super) fn failed_at(&self) -> Option<Instant> {
        self.failed_at
    }

    /// Description of the last failure; empty if there was none.
    pub(super) fn last_failure(&self) -> &str {
        &self.last_failure
    }

    /// Decides what to do after an answer; `blame` is what a failure is attributed to.
    pub(super) fn next(&mut self, answer: Answer, blame: Blame) -> Next {
        let why = match answer {
            Answer::Good(page) => return Next::Page(page),
            Answer::Refused(why) => return Next::Fail(Error::Invalid(why)),
            Answer::KeyRefused(why) => return Next::Fail(Error::KeyRefused(why)),
            Answer::QuotaSpent(why) => return Next::Fail(Error::QuotaSpent(why)),
            Answer::Throttled { .. } => "429: too many requests".to_owned(),
            Answer::Unavailable { why, .. }
            | Answer::Unexpected { why, .. }
            | Answer::Unreachable(why)
            | Answer::Broken(why) => why,
        };
        self.last_failure.clone_from(&why);
        self.failed_at = Some(Instant::now());
        match blame {
            // Only failures while other requests got good answers are counted, so an outage fails no page, however long it
            // lasts.
            Blame::Gate { are_others_answered } => {
                self.gate_failures += u32::from(are_others_answered);
                if self.gate_failures < MAX_GATE_FAILURES { Next::Again } else { self.fail(&why) }
            }
            Blame::Page => {
                self.own_failures += 1;
                if self.own_failures < self.max.get() { Next::AgainAfter(self.wait()) } else { self.fail(&why) }
            }
        }
    }

    /// The wait before the next request. It doubles with each failure that is attributed to the page.
    fn wait(&self) -> Duration {
        self.backoff.saturating_mul(1 << (self.own_failures - 1).min(16))
    }

    fn fail(&self, why: &str) -> Next {
        let times = self.own_failures + self.gate_failures;
        Next::Fail(Error::Cell(if times == 1 { why.to_owned() } else { format!("{why} (after {times} failures)") }))
    }
}

/// Parses a Retry-After header (seconds or a date), limited to one hour; `None` if it is invalid or asks for no wait.
pub(super) fn parse_retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if is_number {
        // Only a number too large for u64 fails here.
        value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        (DateTime::parse_from_rfc2822(value).ok()?.to_utc() - now).to_std().ok()?
    };
    (!wait.is_zero()).then(|| wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts() -> Attempts {
        Attempts::new(NonZeroU32::new(5).unwrap(), Duration::from_secs(1))
    }

    fn broken() -> Answer {
        Answer::Broken("502: no error message".to_owned())
    }

    #[test]
    fn a_page_that_stays_broken_is_requested_five_times_with_doubling_waits() {
        let mut attempts = attempts();

        let waits: Vec<u64> = (0..4)
            .map(|_| {
                let Next::AgainAfter(wait) = attempts.next(broken(), Blame::Page) else { panic!("no further attempt") };
                wait.as_secs()
            })
            .collect();

        assert_eq!(waits, [1, 2, 4, 8]);
        let Next::Fail(Error::Cell(why)) = attempts.next(broken(), Blame::Page) else { panic!("a sixth attempt") };
        assert_eq!(why, "502: no error message (after 5 failures)");
    }

    #[test]
    fn the_fiftieth_failure_of_the_api_while_others_are_answered_fails_the_page() {
        let mut attempts = attempts();

        let blame = Blame::Gate { are_others_answered: true };
        for _ in 0..49 {
            assert!(matches!(attempts.next(Answer::Throttled { retry_after: None }, blame), Next::Again));
        }

        assert!(matches!(attempts.next(broken(), Blame::Page), Next::AgainAfter(_)));
        assert!(matches!(attempts.next(Answer::Throttled { retry_after: None }, blame), Next::Fail(_)));
    }

    #[test]
    fn failures_while_no_request_is_answered_never_fail_the_page() {
        let mut attempts = attempts();

        for _ in 0..10_000 {
            let outage = Answer::Unavailable { retry_after: None, why: String::new() };
            assert!(matches!(attempts.next(outage, Blame::Gate { are_others_answered: false }), Next::Again));
        }
    }

    #[test]
    fn a_refused_page_is_not_requested_again() {
        let refused = Answer::Refused("400: query parameter required".to_owned());

        assert!(matches!(attempts().next(refused, Blame::Page), Next::Fail(Error::Invalid(_))));
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date_and_is_limited_to_one_hour() {
        let now = "2026-11-22T18:00:00Z".parse().unwrap();
        let parse = |value| parse_retry_after(value, now).map(|wait| wait.as_secs());

        assert_eq!(parse("7"), Some(7));
        assert_eq!(parse("Sun, 22 Nov 2026 18:00:30 GMT"), Some(30));
        assert_eq!(parse("99999999"), Some(3600));
        assert_eq!(parse("99999999999999999999999"), Some(3600));
        for none in ["0", "-5", "1.5", "", "soon", "Sun, 22 Nov 2026 17:00:00 GMT", "Sun, 22 Nov 2026 18:00:00 GMT"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }
}
