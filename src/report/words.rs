//! Formats numbers, durations and instants for the report.

use std::time::Duration;

use chrono::NaiveDateTime;

use crate::domain::words::grouped;

pub(super) use crate::domain::words::{count, counted};

/// A median of counts as a whole number.
pub(super) fn rounded(count: f64) -> String {
    grouped(&format!("{count:.0}"))
}

/// A duration in its two largest units.
pub(super) fn duration(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds.round()).unwrap_or_default().as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let pair = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        small => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => pair(minutes, "min", seconds % 60, "s"),
        3600..86_400 => pair(hours, "h", minutes, "min"),
        _ => pair(days, "d", hours, "h"),
    }
}

/// A share in percent with one decimal. Rounding never yields `0 %` or `100 %`; `–` if the whole is 0.
pub(super) fn percent(part: i64, whole: i64) -> String {
    if whole <= 0 {
        return "–".to_owned();
    }
    if part == whole || part == 0 {
        return format!("{} %", 100 * part / whole);
    }
    let tenths = (1000 * part / whole).clamp(1, 999);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The difference between a number and the median of earlier runs, in percent; `None` if the median is 0.
pub(super) fn difference(number: f64, usual: f64) -> Option<String> {
    if usual <= 0.0 {
        return None;
    }
    let percent = (number / usual - 1.0) * 100.0;
    let decimals = usize::from(percent.abs() < 9.95);
    let text = format!("{:.decimals$}", percent.abs());
    match text.as_str() {
        "0.0" | "0" => Some("the same".to_owned()),
        text if percent < 0.0 => Some(format!("−{text} %")),
        text => Some(format!("+{text} %")),
    }
}

/// An instant in full.
pub(super) fn instant(instant: NaiveDateTime) -> String {
    instant.format("%A %-d %B %Y, %H:%M").to_string()
}

/// An instant in a table.
pub(super) fn short_instant(instant: NaiveDateTime) -> String {
    instant.format("%Y-%m-%d %H:%M").to_string()
}

/// A date as the label of a bar, such as `3 Nov`.
pub(super) fn day(instant: NaiveDateTime) -> String {
    instant.format("%-d %b").to_string()
}

/// A time as the label of a bar, such as `03:00`.
pub(super) fn time_of_day(instant: NaiveDateTime) -> String {
    instant.format("%H:%M").to_string()
}

/// A count as a floating-point number.
pub(super) fn length(count: impl Into<i64>) -> f64 {
    f64::from(i32::try_from(count.into()).unwrap_or(i32::MAX))
}

/// The number of items.
pub(super) fn number_of<T>(items: &[T]) -> i64 {
    i64::try_from(items.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{count, difference, duration, percent, rounded};

    #[test]
    fn counts_have_a_comma_at_every_third_digit() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!((count(-12_345), rounded(12_924.5)), ("−12,345".to_owned(), "12,924".to_owned()));
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let texts = [0.4, 59.0, 60.0, 3599.0, 3600.0, 4_330.0, 90_000.0].map(duration);

        assert_eq!(texts, ["0 s", "59 s", "1 min", "59 min 59 s", "1 h", "1 h 12 min", "1 d 1 h"]);
    }

    #[test]
    fn a_share_is_100_percent_only_if_nothing_is_missing() {
        let texts = [(0, 0), (0, 7), (1, 20_000), (9_409, 9_410), (9_410, 9_410)].map(|(part, all)| percent(part, all));

        assert_eq!(texts, ["–", "0 %", "0.1 %", "99.9 %", "100 %"]);
    }

    #[test]
    fn a_difference_shows_its_direction() {
        let texts = [100.0, 100.04, 93.0, 250.0].map(|number| difference(number, 100.0).unwrap());

        assert_eq!(texts, ["the same", "the same", "−7.0 %", "+150 %"]);
        assert_eq!(difference(1.0, 0.0), None);
    }
}
