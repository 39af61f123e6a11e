//! Request quotas per day and per month, both in Seoul time.

use std::fmt;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, Utc};
use chrono_tz::Asia::Seoul;

/// The largest numbers of requests that may be sent.
#[derive(Clone, Copy, Debug)]
pub struct Quotas {
    /// Per day.
    pub daily: u32,
    /// Per calendar month.
    pub monthly: u32,
}

/// The requests that were sent or reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// On one day.
    pub today: i64,
    /// In its month, until that day.
    pub this_month: i64,
}

/// The time for which a quota applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// A day.
    Day,
    /// A calendar month.
    Month,
}

/// A quota of which nothing is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The day on which a request was wanted.
    pub day: NaiveDate,
    /// Which quota it is.
    pub period: Period,
    /// The quota.
    pub quota: u32,
}

impl Quotas {
    /// The number of requests that are left.
    #[must_use]
    pub fn left(self, used: Usage) -> i64 {
        let (today, this_month) = self.left_of_each(used);
        today.min(this_month).max(0)
    }

    /// The quota that is used up, if one is; the month where both are, because it lasts longer.
    #[must_use]
    pub fn spent(self, used: Usage, day: NaiveDate) -> Option<Spent> {
        let (today, this_month) = self.left_of_each(used);
        if this_month <= 0 {
            return Some(Spent { day, period: Period::Month, quota: self.monthly });
        }
        (today <= 0).then_some(Spent { day, period: Period::Day, quota: self.daily })
    }

    fn left_of_each(self, used: Usage) -> (i64, i64) {
        (i64::from(self.daily) - used.today, i64::from(self.monthly) - used.this_month)
    }
}

impl Period {
    /// When the period of an instant ends, and its quota is granted anew.
    #[must_use]
    pub fn end(self, instant: DateTime<Utc>) -> DateTime<Utc> {
        let midnight = self.day_after(day_of(instant)).and_time(NaiveTime::MIN).and_local_timezone(Seoul).earliest();
        midnight.map_or(instant, |midnight| midnight.with_timezone(&Utc))
    }

    /// The first day of the next period.
    fn day_after(self, day: NaiveDate) -> NaiveDate {
        let next = match self {
            Self::Day => day.checked_add_days(Days::new(1)),
            Self::Month => first_of_month(day).checked_add_months(Months::new(1)),
        };
        next.unwrap_or(day)
    }
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { day, period, quota } = self;
        let (format, key) = match period {
            Period::Day => ("%Y-%m-%d", "daily_quota"),
            Period::Month => ("%Y-%m", "monthly_quota"),
        };
        let (when, next) = (day.format(format), period.day_after(*day));
        write!(f, "all {quota} requests of {when} are used (kakao.{key}); the next ones are granted on {next} in Seoul")
    }
}

/// The date in Seoul, by which requests are counted.
#[must_use]
pub fn day_of(instant: DateTime<Utc>) -> NaiveDate {
    instant.with_timezone(&Seoul).date_naive()
}

/// The first day of the month of a day.
#[must_use]
pub fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_day_and_the_month_end_at_midnight_in_seoul() {
        let evening = instant("2026-11-22T14:59:59Z");

        assert_eq!(day_of(evening).to_string(), "2026-11-22");
        assert_eq!(Period::Day.end(evening), instant("2026-11-22T15:00:00Z"));
        assert_eq!(day_of(Period::Day.end(evening)).to_string(), "2026-11-23");
        assert_eq!(Period::Month.end(evening), instant("2026-11-30T15:00:00Z"));
        assert_eq!(Period::Month.end(instant("2026-12-31T14:59:59Z")), instant("2026-12-31T15:00:00Z"));
        assert_eq!(Period::Month.end(instant("2026-12-31T15:00:00Z")), instant("2027-01-31T15:00:00Z"));
    }

    #[test]
    fn the_smaller_rest_is_left_and_the_longer_period_is_reported() {
        let quotas = Quotas { daily: 100, monthly: 1000 };
        let day = day_of(instant("2026-11-22T00:00:00Z"));
        let spent = |today, this_month| quotas.spent(Usage { today, this_month }, day).map(|spent| spent.period);

        assert_eq!(quotas.left(Usage { today: 10, this_month: 500 }), 90);
        assert_eq!(quotas.left(Usage { today: 10, this_month: 990 }), 10);
        assert_eq!(quotas.left(Usage { today: 110, this_month: 500 }), 0, "the quota was lowered");
        assert_eq!(spent(99, 999), None);
        assert_eq!(spent(100, 999), Some(Period::Day));
        assert_eq!(spent(0, 1000), Some(Period::Month));
        assert_eq!(spent(100, 1000), Some(Period::Month));
        assert_eq!(
            quotas.spent(Usage { today: 5, this_month: 1000 }, day).unwrap().to_string(),
            "all 1000 requests of 2026-11 are used (kakao.monthly_quota); the next ones are granted on 2026-12-01 in Seoul"
        );
    }
}
