//! When runs are due: a cron expression in a time zone.
//!
//! A tick is an instant in whole seconds and identifies a row of the run history, so it must not depend on how it is computed.
//! [`Schedule`] therefore finds the times of the expression on a local clock without daylight saving time, and `daylight`
//! converts them to instants. [`Schedule::next_after`] and [`Schedule::last_until`] agree on every tick.

mod daylight;
mod expression;

use chrono::{DateTime, DurationRound, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

use daylight::Rule;

/// A cron expression with its time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    expression: String,
    cron: Cron,
    rule: Rule,
}

/// Why a text is not a valid schedule.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// The expression does not have five to seven fields, or one of them is wrong.
    #[error("{expression:?} is not a cron expression: {reason}; for Monday 03:00 write \"0 0 3 * * Mon\"")]
    Expression {
        /// The text that was given.
        expression: String,
        /// Why it is invalid.
        reason: String,
    },
    /// The zone is not in the IANA database.
    #[error("{0:?} is not a time zone; write a name such as \"Asia/Seoul\"")]
    Zone(String),
}

impl Schedule {
    /// Parses an expression with five fields (minute first), six (second first) or seven (year last), or a nickname such as
    /// `@weekly`.
    ///
    /// # Errors
    /// When the expression or the zone is invalid.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, Invalid> {
        let zone = zone.trim().parse().map_err(|_| Invalid::Zone(zone.to_owned()))?;
        let (normal, cron) = expression::parse(expression)
            .map_err(|reason| Invalid::Expression { expression: expression.to_owned(), reason })?;
        let rule = Rule::new(zone, expression::is_frequent(&normal, &cron));
        Ok(Self { expression: normal, cron, rule })
    }

    /// The normalized expression, with seconds and with English three-letter names, which every cron library supports.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The time zone of the expression.
    #[must_use]
    pub fn zone(&self) -> Tz {
        self.rule.zone()
    }

    /// The first tick after `instant`; `None` if there is none.
    #[must_use]
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = whole_second(instant)?;
        let local = self.rule.local(from);
        // During the first pass of a repeated hour, the local times just before this one will occur again.
        let mut time = local - self.rule.repeated(local);
        let mut next: Option<DateTime<Utc>> = None;
        while let Some(later) = self.later_than(time) {
            time = later;
            let instants = self.rule.instants(time);
            let ahead = instants.into_iter().flatten().filter(|instant| *instant > from);
            next = next.into_iter().chain(ahead).min();
            // Later local times cannot yield earlier instants, so the search is complete.
            if next.is_some() && instants[0] >= next {
                break;
            }
        }
        next
    }

    /// The last tick at or before `instant`; `None` if there is none.
    #[must_use]
    pub fn last_until(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until = whole_second(instant)?;
        let local = self.rule.local(until);
        // During the second pass of a repeated hour, the local times just after this one have already occurred.
        let mut time = local + self.rule.repeated(local) + TimeDelta::seconds(1);
        let mut last: Option<DateTime<Utc>> = None;
        while let Some(earlier) = self.earlier_than(time) {
            time = earlier;
            let instants = self.rule.instants(time);
            let behind = instants.into_iter().flatten().filter(|instant| *instant <= until);
            last = last.into_iter().chain(behind).max();
            // Earlier local times cannot yield later instants, so the search is complete.
            if last.is_some() && instants.into_iter().max().flatten() <= last {
                break;
            }
        }
        last
    }

    /// The next time of the expression, ignoring daylight saving time.
    fn later_than(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&time.and_utc(), false).ok().map(|found| found.naive_utc())
    }

    fn earlier_than(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_previous_occurrence(&time.and_utc(), false).ok().map(|found| found.naive_utc())
    }
}

fn whole_second(instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
    instant.duration_trunc(TimeDelta::seconds(1)).ok()
}

#[cfg(test)]
mod tests;
