//! A pause of the schedule: a time in which no run starts by itself.

use std::fmt;

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;

/// A pause of the schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchedulePause {
    /// When it began.
    pub since: DateTime<Utc>,
    /// When it ends, or has ended; `None` if it lasts until a user ends it.
    pub until: Option<DateTime<Utc>>,
    /// The reason, if one was given.
    pub reason: Option<String>,
    /// Who paused the schedule.
    pub by: String,
}

impl SchedulePause {
    /// Whether an instant is in the pause.
    #[must_use]
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// `paused from Sun 2026-11-22 10:00 until Mon 2026-12-07 00:00 (Seoul) by kim@host: new key`
impl fmt::Display for SchedulePause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let in_seoul = |at: DateTime<Utc>| at.with_timezone(&Seoul).format("%a %Y-%m-%d %H:%M");
        let Self { since, until, reason, by } = self;
        write!(f, "paused from {}", in_seoul(*since))?;
        if let Some(until) = until {
            write!(f, " until {}", in_seoul(*until))?;
        }
        write!(f, " (Seoul) by {by}")?;
        reason.as_ref().map_or(Ok(()), |reason| write!(f, ": {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_holds_its_first_instant_and_not_its_last() {
        let at = |hour: u32| format!("2026-11-22T{hour:02}:00:00Z").parse::<DateTime<Utc>>().unwrap();
        let pause = |until| SchedulePause { since: at(1), until, reason: None, by: "kim@host".to_owned() };

        let holds = [at(0), at(1), at(4), at(5)].map(|instant| pause(Some(at(5))).holds(instant));

        assert_eq!(holds, [false, true, true, false]);
        assert!(pause(None).holds(at(23)));
        assert_eq!(pause(None).to_string(), "paused from Sun 2026-11-22 10:00 (Seoul) by kim@host");
    }
}
