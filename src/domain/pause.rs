//! A pause of all requests: since when, until when, and why.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// A time during which no requests are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// When it began.
    pub since: DateTime<Utc>,
    /// When the next request is sent; `None` if it is in flight.
    pub until: Option<DateTime<Utc>>,
    /// The reason, as text.
    pub reason: String,
}

impl Pause {
    /// Describes the pause at the time `now`.
    #[must_use]
    pub fn describe(&self, now: DateTime<Utc>) -> String {
        let next = match self.until {
            Some(until) => format!("next request in {}", whole_seconds(until - now)),
            None => "a request is being tried".to_owned(),
        };
        format!("waiting for {}, {next}: {}", whole_seconds(now - self.since), self.reason)
    }
}

fn whole_seconds(span: TimeDelta) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(span.num_seconds().max(0).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_shows_the_duration_the_next_request_and_the_reason() {
        let since: DateTime<Utc> = "2026-11-22T18:00:00Z".parse().unwrap();
        let now = since + TimeDelta::seconds(75);
        let pause = |until| Pause { since, until, reason: "503: maintenance".to_owned() };

        let waiting = pause(Some(now + TimeDelta::milliseconds(8900))).describe(now);
        assert_eq!(waiting, "waiting for 1m 15s, next request in 8s: 503: maintenance");
        assert_eq!(pause(None).describe(now), "waiting for 1m 15s, a request is being tried: 503: maintenance");
        // The clock was set back.
        assert!(pause(None).describe(since - TimeDelta::hours(1)).starts_with("waiting for 0s"));
    }
}
