//! `--since` and `--until`: parses a duration, a day or an instant.

use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Asia::Seoul;

use crate::domain::duration;

/// An instant, or how far it is from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// A duration before or after now.
    Away(Duration),
    /// An instant.
    At(DateTime<Utc>),
}

/// The text is not a duration, day or instant.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Invalid {
    /// It cannot be read.
    #[error(
        "write a duration such as 7d, a day in Seoul such as 2026-11-23, or an instant such as 2026-11-23T03:00:00+09:00"
    )]
    Unreadable,
    /// It is a duration that cannot be used.
    #[error("{0}")]
    Duration(duration::Invalid),
}

impl FromStr for When {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let text = text.trim();
        match duration::parse_above_zero(text) {
            Err(duration::Invalid::Unreadable(..)) => {}
            duration => return duration.map(Self::Away).map_err(Invalid::Duration),
        }
        if let Ok(day) = text.parse::<NaiveDate>() {
            let midnight =
                Seoul.from_local_datetime(&day.and_time(NaiveTime::MIN)).earliest().ok_or(Invalid::Unreadable)?;
            return Ok(Self::At(midnight.to_utc()));
        }
        DateTime::parse_from_rfc3339(text).map(|instant| Self::At(instant.to_utc())).map_err(|_| Invalid::Unreadable)
    }
}

impl When {
    /// The instant, in the past. A duration reaches back to 1970-01-01 at most.
    pub(super) fn ago(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Away(duration) => before(now, duration),
            Self::At(instant) => instant,
        }
    }

    /// The instant, in the future. A duration is at most ten years.
    pub(super) fn ahead(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Away(duration) => now + TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX),
            Self::At(instant) => instant,
        }
    }
}

/// The instant that lies a duration before `now`, but not before 1970-01-01.
pub(super) fn before(now: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    let duration = TimeDelta::from_std(duration).ok();
    duration
        .and_then(|duration| now.checked_sub_signed(duration))
        .unwrap_or(DateTime::UNIX_EPOCH)
        .max(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> Result<String, Invalid> {
        let now = "2026-11-24T00:00:00Z".parse().unwrap();
        Ok(text.parse::<When>()?.ago(now).to_rfc3339())
    }

    #[test]
    fn a_duration_a_day_in_seoul_and_an_instant_are_understood() {
        assert_eq!(instant("7d").unwrap(), "2026-11-17T00:00:00+00:00");
        assert_eq!(instant("2026-11-23").unwrap(), "2026-11-22T15:00:00+00:00");
        assert_eq!(instant("2026-11-23T03:00:00+09:00").unwrap(), "2026-11-22T18:00:00+00:00");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "yesterday", "2026-13-01", "2026-11-23 03:00"] {
            assert_eq!(instant(text), Err(Invalid::Unreadable), "{text}");
        }
        assert_eq!(instant("0s"), Err(Invalid::Duration(duration::Invalid::Zero)));
        assert!(matches!(instant("5000y"), Err(Invalid::Duration(duration::Invalid::TooLong(_)))));
    }
}
