//! The time of day, read nowhere else.

use chrono::{DateTime, SubsecRound, Utc};

/// The present instant, in the microseconds that the database stores.
#[must_use]
pub fn now() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    Utc::now().trunc_subsecs(6)
}
