//! Converts local times of a schedule to instants, including the changes to and from daylight saving time.
//!
//! The rules are those of cron. When clocks are set back, an hour occurs twice: a schedule with a fixed hour runs only in the
//! first pass, a schedule that is due every hour or more often runs in both. When clocks are set forward, an hour does not
//! occur: a schedule with a fixed hour runs at the instant of the change, the other kind continues after it.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// An upper bound for the time by which clocks are set forward. The longest known gap is one day (Samoa, 2011).
const LONGEST_GAP_S: i64 = 25 * 3600;

/// Converts the local times of a schedule to instants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    zone: Tz,
    /// Whether the schedule is due every hour or more often.
    is_frequent: bool,
}

impl Rule {
    pub(super) fn new(zone: Tz, is_frequent: bool) -> Self {
        Self { zone, is_frequent }
    }

    pub(super) fn zone(self) -> Tz {
        self.zone
    }

    /// The local time at an instant.
    pub(super) fn local(self, instant: DateTime<Utc>) -> NaiveDateTime {
        instant.with_timezone(&self.zone).naive_local()
    }

    /// The instants at which a schedule with this local time is due, the earlier one first. The first and the second instant
    /// never decrease when the local time increases.
    pub(super) fn instants(self, time: NaiveDateTime) -> [Option<DateTime<Utc>>; 2] {
        match self.shown(time) {
            MappedLocalTime::Single(once) => [Some(once), None],
            MappedLocalTime::Ambiguous(first, second) => [Some(first), Some(second).filter(|_| self.is_frequent)],
            MappedLocalTime::None if self.is_frequent => [None, None],
            MappedLocalTime::None => [self.end_of_gap(time), None],
        }
    }

    /// By how much clocks are set back, if this local time occurs twice; otherwise zero.
    pub(super) fn repeated(self, time: NaiveDateTime) -> TimeDelta {
        match self.shown(time) {
            MappedLocalTime::Ambiguous(first, second) => second - first,
            MappedLocalTime::Single(_) | MappedLocalTime::None => TimeDelta::zero(),
        }
    }

    fn shown(self, time: NaiveDateTime) -> MappedLocalTime<DateTime<Utc>> {
        self.zone.from_local_datetime(&time).map(|shown| shown.to_utc())
    }

    /// The instant of the change at which clocks skip this local time: the instant of the first later local time that
    /// exists, found by binary search.
    fn end_of_gap(self, time: NaiveDateTime) -> Option<DateTime<Utc>> {
        let (mut hidden_s, mut shown_s) = (0, LONGEST_GAP_S);
        while shown_s - hidden_s > 1 {
            let middle_s = i64::midpoint(hidden_s, shown_s);
            match self.shown(time + TimeDelta::seconds(middle_s)) {
                MappedLocalTime::None => hidden_s = middle_s,
                MappedLocalTime::Single(_) | MappedLocalTime::Ambiguous(..) => shown_s = middle_s,
            }
        }
        self.shown(time + TimeDelta::seconds(shown_s)).earliest()
    }
}
