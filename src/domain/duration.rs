//! Durations as people write them, such as `30m`, up to a length that every calendar and every timer can hold.

use std::time::Duration;

/// The longest duration that can be set: ten years, as `10y` means them.
pub const LONGEST: Duration = Duration::from_hours(87_660);

/// Why a text is not a usable duration.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Invalid {
    /// It cannot be read.
    #[error("invalid duration {0:?} ({1}); expected 500ms, 10s, 30m or 7d")]
    Unreadable(String, humantime::DurationError),
    /// It is beyond all uses.
    #[error("{0:?} is longer than ten years; write a shorter duration, such as 30m or 7d")]
    TooLong(String),
    /// It must not be zero.
    #[error("it must be longer than zero")]
    Zero,
}

/// Reads a duration of at most ten years.
///
/// # Errors
/// When the text is not a duration, or a longer one.
pub fn parse(text: &str) -> Result<Duration, Invalid> {
    let duration = humantime::parse_duration(text.trim());
    match duration.map_err(|error| Invalid::Unreadable(text.to_owned(), error))? {
        long if long > LONGEST => Err(Invalid::TooLong(text.to_owned())),
        duration => Ok(duration),
    }
}

/// Reads a duration of at most ten years that is not zero.
///
/// # Errors
/// When the text is not a duration, or a longer one, or zero.
pub fn parse_above_zero(text: &str) -> Result<Duration, Invalid> {
    match parse(text)? {
        Duration::ZERO => Err(Invalid::Zero),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_up_to_ten_years_are_accepted() {
        assert_eq!(parse("10y"), Ok(LONGEST));
        assert_eq!(parse(" 30m "), Ok(Duration::from_mins(30)));
        for text in ["10y 1s", "584542046090y", "18446744073709551615s"] {
            assert_eq!(parse(text), Err(Invalid::TooLong(text.to_owned())));
        }
        assert!(matches!(parse("soon"), Err(Invalid::Unreadable(..))));
    }

    #[test]
    fn zero_is_refused_where_it_makes_no_sense() {
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_above_zero("0s"), Err(Invalid::Zero));
    }
}
