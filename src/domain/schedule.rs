//! When runs are due: a cron expression in a time zone.
//!
//! Ticks are instants in whole seconds, so that a tick is the same row of history whoever computes it.

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// A cron expression with its time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    expression: String,
    cron: Cron,
    zone: Tz,
}

/// Why a text is no schedule.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// The expression does not have five to seven fields, or one of them is wrong.
    #[error("{expression:?} is no cron expression ({reason}); Monday at three is \"0 0 3 * * Mon\"")]
    Expression {
        /// The text that was given.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The zone is not in the IANA database.
    #[error("{0:?} is no time zone; write a name such as \"Asia/Seoul\"")]
    Zone(String),
}

impl Schedule {
    /// Reads five fields (minute first), six (second first) or seven (with a year at the end).
    ///
    /// # Errors
    /// When the expression or the zone cannot be read.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, Invalid> {
        let zone = zone.trim().parse().map_err(|_| Invalid::Zone(zone.to_owned()))?;
        let invalid = |reason: String| Invalid::Expression { expression: expression.to_owned(), reason };
        let fields = expression.split_whitespace().collect::<Vec<_>>();
        let expression = match fields.len() {
            5 => format!("0 {}", fields.join(" ")),
            6 | 7 => fields.join(" "),
            count => return Err(invalid(format!("it has {count} fields, not 5, 6 or 7"))),
        };
        let parser = CronParser::builder().seconds(Seconds::Required).year(Year::Optional).build();
        let cron = parser.parse(&expression).map_err(|error| invalid(error.to_string()))?;
        Ok(Self { expression, cron, zone })
    }

    /// The expression with its seconds.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The zone in which the expression is read.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// The first tick after `instant`; `None` where no more comes.
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = whole_second(instant)?;
        let tick = self.cron.find_next_occurrence(&from.with_timezone(&self.zone), false).ok()?;
        whole_second(tick.with_timezone(&Utc))
    }

    /// The last tick at or before `instant`; `None` where there was none.
    #[must_use]
    pub fn last_until(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = whole_second(instant)?;
        let tick = self.cron.find_previous_occurrence(&from.with_timezone(&self.zone), true).ok()?;
        whole_second(tick.with_timezone(&Utc))
    }
}

fn whole_second(instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    instant.duration_trunc(TimeDelta::seconds(1)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn weekly() -> Schedule {
        Schedule::parse("0 0 3 * * Mon", "Asia/Seoul").unwrap()
    }

    #[test]
    fn monday_three_in_seoul_is_sunday_eighteen_utc() {
        assert_eq!(weekly().next_after(utc("2026-11-22T11:32:17.25Z")), Some(utc("2026-11-22T18:00:00Z")));
        assert_eq!(weekly().last_until(utc("2026-11-22T11:32:17.25Z")), Some(utc("2026-11-15T18:00:00Z")));
    }

    #[test]
    fn a_tick_is_due_at_its_very_second() {
        assert_eq!(weekly().last_until(utc("2026-11-22T18:00:00.3Z")), Some(utc("2026-11-22T18:00:00Z")));
        assert_eq!(weekly().next_after(utc("2026-11-22T18:00:00.3Z")), Some(utc("2026-11-29T18:00:00Z")));
    }

    #[test]
    fn five_six_and_seven_fields_are_read() {
        let next = |cron| Schedule::parse(cron, "Asia/Seoul").unwrap().next_after(utc("2026-11-22T11:00:00Z"));

        assert_eq!(next("0 3 * * Mon"), Some(utc("2026-11-22T18:00:00Z")));
        assert_eq!(next("30 0 3 * * 1"), Some(utc("2026-11-22T18:00:30Z")));
        assert_eq!(next("0 0 3 1 1 * 2028"), Some(utc("2027-12-31T18:00:00Z")));
    }

    #[test]
    fn a_date_that_never_comes_has_no_next_tick() {
        let next = |cron| Schedule::parse(cron, "Asia/Seoul").unwrap().next_after(utc("2026-11-22T11:00:00Z"));

        assert_eq!(next("0 0 3 30 2 *"), None);
        assert_eq!(next("0 0 3 * * Mon 2020"), None);
    }

    #[test]
    fn what_is_no_schedule_is_refused_in_words() {
        let error = |cron, zone| Schedule::parse(cron, zone).unwrap_err().to_string();

        assert!(error("3 * *", "Asia/Seoul").contains("3 fields"));
        assert!(error("0 0 25 * * Mon", "Asia/Seoul").contains("0 0 25 * * Mon"));
        assert!(error("0 0 3 * * Mon", "Seoul").contains("\"Seoul\" is no time zone"));
    }

    #[test]
    fn daylight_saving_skips_no_tick() {
        let new_york = Schedule::parse("0 30 2 * * Sun", "America/New_York").unwrap();

        // On 2026-03-08 the clocks go from 02:00 to 03:00.
        let next = new_york.next_after(utc("2026-03-07T12:00:00Z")).unwrap();

        assert!(next >= utc("2026-03-08T07:00:00Z") && next < utc("2026-03-08T08:00:00Z"), "{next}");
    }
}
