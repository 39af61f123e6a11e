//! The only module that reads the current time, and the RFC 3339 format for machine-readable output.

use chrono::{DateTime, SecondsFormat, SubsecRound, Utc};
use serde::Serializer;

/// The current time, truncated to microseconds, the precision of the database.
#[must_use]
pub fn now() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    Utc::now().trunc_subsecs(6)
}

/// Formats an instant for machine-readable output, in UTC and whole seconds: `2026-11-22T18:00:00Z`.
#[must_use]
pub fn rfc3339(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Serializes an instant in the format of [`rfc3339`].
///
/// # Errors
/// When the serializer fails.
pub fn serialize<S: Serializer>(instant: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&rfc3339(*instant))
}

/// Serializes an optional instant in the format of [`rfc3339`].
///
/// # Errors
/// When the serializer fails.
pub fn serialize_option<S: Serializer>(instant: &Option<DateTime<Utc>>, to: S) -> Result<S::Ok, S::Error> {
    match instant {
        Some(instant) => serialize(instant, to),
        None => to.serialize_none(),
    }
}
