//! The time of day, read nowhere else.

use std::time::Duration;

use chrono::{DateTime, SubsecRound, Utc};

/// How long a wait goes on before it looks at the clock again.
const RECHECK: Duration = Duration::from_secs(30);

/// The present instant, in the microseconds that the database stores.
#[must_use]
pub fn now() -> DateTime<Utc> {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    Utc::now().trunc_subsecs(6)
}

/// Waits until the clock has reached `instant`.
///
/// Timers count uptime, so a suspended machine or a clock that was put right would make one long sleep end at
/// the wrong time: the clock is read again every 30 seconds.
pub async fn wait_until(instant: DateTime<Utc>) {
    while let Ok(left) = (instant - now()).to_std() {
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left.min(RECHECK)).await;
    }
}
