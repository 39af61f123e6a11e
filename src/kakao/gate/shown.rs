//! The pause as observers see it, and its log messages.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::domain::pause::Pause;

/// Minimum time between two warnings. A pause that begins earlier is logged at the debug level, so that many short pauses
/// do not fill the log.
const MIN_BETWEEN_WARNINGS: Duration = Duration::from_secs(10);

/// Number of failures in one pause, the first included, from which on it is logged as a warning in any case.
const WARN_AFTER_FAILURES: u32 = 3;

/// The pause as observers see it.
#[derive(Debug, Default)]
pub(super) struct Shown {
    open: Option<Open>,
    logged_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    pause: Pause,
    began: Instant,
    until: Instant,
    /// Failures in this pause, including the one that began it.
    failures: u32,
    /// Whether a warning was logged.
    is_logged: bool,
}

/// Why a pause begins or is lengthened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Why<'a> {
    /// Description of the last answer.
    pub(super) reason: &'a str,
    /// When the next request is sent.
    pub(super) until: Instant,
    /// After this time without a good answer, the run is interrupted.
    pub(super) interrupted_in: Duration,
}

impl Shown {
    /// The current pause; `None` if there is none. Its `until` is `None` when the wait is over and the probe may be sent.
    pub(super) fn pause(&self, now: Instant) -> Option<Pause> {
        let Open { pause, until, .. } = self.open.as_ref()?;
        Some(Pause { until: pause.until.filter(|_| now < *until), ..pause.clone() })
    }

    /// Begins or lengthens the pause, and logs it.
    pub(super) fn extend(&mut self, why: Why<'_>, now: Instant, clock: DateTime<Utc>) {
        let Why { reason, until, interrupted_in } = why;
        let open = self.open.get_or_insert_with(|| Open {
            pause: Pause { since: clock, until: None, reason: String::new() },
            began: now,
            until,
            failures: 0,
            is_logged: false,
        });
        let wait = until.saturating_duration_since(now);
        open.until = until;
        open.pause.until = Some(clock + wait);
        reason.clone_into(&mut open.pause.reason);
        open.failures += 1;
        let is_due = self.logged_at.is_none_or(|then| now - then >= MIN_BETWEEN_WARNINGS);
        let message = format!(
            "requests are paused for {}: {reason}; without a good answer the run is interrupted in {}",
            rounded(wait),
            rounded(interrupted_in)
        );
        let until = (clock + wait).to_rfc3339_opts(SecondsFormat::Millis, true);
        if !open.is_logged && (is_due || open.failures >= WARN_AFTER_FAILURES) {
            open.is_logged = true;
            self.logged_at = Some(now);
            let interrupted_at = (clock + interrupted_in).to_rfc3339_opts(SecondsFormat::Millis, true);
            warn!(pause.until = until, run.interrupted_at = interrupted_at, "{message}");
        } else {
            debug!(pause.until = until, "{message}");
        }
    }

    /// Ends the pause, and logs it.
    pub(super) fn end(&mut self, now: Instant) {
        let Some(Open { began, is_logged, .. }) = self.open.take() else { return };
        let lasted = rounded(now - began);
        if is_logged {
            info!("the API answers again; requests resume after a pause of {lasted}");
        } else {
            debug!("the API answers again; requests resume after a pause of {lasted}");
        }
    }
}

/// Rounds a duration up to whole seconds. A duration below one second is truncated to whole milliseconds.
fn rounded(span: Duration) -> humantime::FormattedDuration {
    let rounded = if span < Duration::from_secs(1) { span.as_millis() } else { span.as_millis().div_ceil(1000) * 1000 };
    humantime::format_duration(Duration::from_millis(u64::try_from(rounded).unwrap_or(u64::MAX)))
}
