//! The requests that Kakao grants: per day and month, counted in Seoul.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use chrono_tz::Asia::Seoul;

/// Requests a month, over all of Kakao's APIs.
pub const MONTHLY: u32 = 3_000_000;

/// The day in Seoul, by which requests are counted.
#[must_use]
pub fn day_of(instant: DateTime<Utc>) -> NaiveDate {
    instant.with_timezone(&Seoul).date_naive()
}

/// When the next day in Seoul begins and the quota is whole again.
#[must_use]
pub fn next_day(instant: DateTime<Utc>) -> DateTime<Utc> {
    let midnight = (day_of(instant) + Days::new(1)).and_time(NaiveTime::MIN);
    midnight.and_local_timezone(Seoul).earliest().map_or(instant, |midnight| midnight.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_turns_at_midnight_in_seoul() {
        let evening: DateTime<Utc> = "2026-11-22T14:59:59Z".parse().unwrap();

        assert_eq!(day_of(evening).to_string(), "2026-11-22");
        assert_eq!(next_day(evening), "2026-11-22T15:00:00Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(day_of(next_day(evening)).to_string(), "2026-11-23");
    }
}
