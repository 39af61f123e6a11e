//! When a page is asked for again: pure rules.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Error;
use super::gate::Blame;
use super::wire::{Answer, Page};

/// How often the gate may fail one page (429, 503, no answer) before its cell fails.
const MAX_GATE_FAILURES: u32 = 50;

/// The longest Retry-After that is honoured.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(1);

/// What to do after an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// It is there.
    Page(Page),
    /// Ask again when the gate opens.
    Again,
    /// Ask again after a wait.
    AgainAfter(Duration),
    /// Give up.
    Fail(Error),
}

/// The attempts at one page so far.
#[derive(Debug)]
pub(super) struct Attempts {
    own_failures: u32,
    gate_failures: u32,
    max: NonZeroU32,
    backoff: Duration,
}

impl Attempts {
    pub(super) fn new(max: NonZeroU32, backoff: Duration) -> Self {
        Self { own_failures: 0, gate_failures: 0, max, backoff }
    }

    /// Whether the next request repeats a failed one.
    pub(super) fn have_failed(&self) -> bool {
        self.own_failures + self.gate_failures > 0
    }

    /// Decides what follows an answer; `blame` is whose failure it was, if it was one.
    pub(super) fn next(&mut self, answer: Answer, blame: Blame) -> Next {
        let why = match answer {
            Answer::Good(page) => return Next::Page(page),
            Answer::Refused(why) => return Next::Fail(Error::Cell(why)),
            Answer::KeyRefused(why) => return Next::Fail(Error::KeyRefused(why)),
            Answer::QuotaSpent(why) => return Next::Fail(Error::QuotaSpent(why)),
            Answer::Throttled { .. } => "429: too many requests".to_owned(),
            Answer::Unavailable { why, .. } | Answer::Unreachable(why) | Answer::Broken(why) => why,
        };
        match blame {
            Blame::Gate => {
                self.gate_failures += 1;
                if self.gate_failures < MAX_GATE_FAILURES { Next::Again } else { self.fail(&why) }
            }
            Blame::Page => {
                self.own_failures += 1;
                if self.own_failures < self.max.get() { Next::AgainAfter(self.wait()) } else { self.fail(&why) }
            }
        }
    }

    /// The first wait, then twice as long each time.
    fn wait(&self) -> Duration {
        self.backoff.saturating_mul(1 << (self.own_failures - 1).min(16))
    }

    fn fail(&self, why: &str) -> Next {
        let times = self.own_failures + self.gate_failures;
        Next::Fail(Error::Cell(if times == 1 { why.to_owned() } else { format!("{why} (after {times} attempts)") }))
    }
}

/// Reads a Retry-After header: seconds or a date, at most an hour.
pub(super) fn parse_retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => (DateTime::parse_from_rfc2822(value).ok()?.to_utc() - now).to_std().unwrap_or(Duration::ZERO),
    };
    Some(wait.min(MAX_RETRY_AFTER))
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
    fn a_broken_page_is_asked_for_five_times_with_doubling_waits() {
        let mut attempts = attempts();

        let waits: Vec<u64> = (0..4)
            .map(|_| {
                let Next::AgainAfter(wait) = attempts.next(broken(), Blame::Page) else { panic!("no further attempt") };
                wait.as_secs()
            })
            .collect();

        assert_eq!(waits, [1, 2, 4, 8]);
        let Next::Fail(Error::Cell(why)) = attempts.next(broken(), Blame::Page) else { panic!("a sixth attempt") };
        assert_eq!(why, "502: no error message (after 5 attempts)");
    }

    #[test]
    fn what_is_the_gates_failure_costs_the_page_no_attempt() {
        let mut attempts = attempts();

        for _ in 0..49 {
            assert!(matches!(attempts.next(Answer::Throttled { retry_after: None }, Blame::Gate), Next::Again));
        }

        assert!(matches!(attempts.next(broken(), Blame::Page), Next::AgainAfter(_)));
        assert!(matches!(attempts.next(Answer::Throttled { retry_after: None }, Blame::Gate), Next::Fail(_)));
    }

    #[test]
    fn a_refusal_is_final() {
        let refused = Answer::Refused("400: query parameter required".to_owned());

        assert!(matches!(attempts().next(refused, Blame::Page), Next::Fail(Error::Cell(_))));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_at_most_an_hour() {
        let now = "2026-11-22T18:00:00Z".parse().unwrap();
        let parse = |value| parse_retry_after(value, now).map(|wait| wait.as_secs());

        assert_eq!(parse("7"), Some(7));
        assert_eq!(parse("Sun, 22 Nov 2026 18:00:30 GMT"), Some(30));
        assert_eq!(parse("Sun, 22 Nov 2026 17:00:00 GMT"), Some(0));
        assert_eq!(parse("99999999"), Some(3600));
        assert_eq!(parse("soon"), None);
    }
}
