//! Notifications to systemd: ready, status text, watchdog and stopping (`sd_notify`).
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent. Watchdog notifications are not sent by a timer but by the code
//! that makes progress: each iteration of the scheduler loop, and a run while it advances. The watchdog therefore restarts a
//! hung process, but not one that waits for the API or the database.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The extension of the time limit that is requested while the process starts or stops, and the interval of the requests.
const EXTENSION: Duration = Duration::from_secs(30);
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// Time for stopping after the grace period: recording the end of the run, returning unused requests, closing connections.
const AFTER_GRACE: Duration = Duration::from_secs(30);

/// Runs the start-up work and keeps extending systemd's start time limit (`TimeoutStartSec=`), because the work may take
/// arbitrarily long, for example while the database is unreachable.
pub async fn starting<T>(status: &str, work: impl Future<Output = T>) -> T {
    self::status(status);
    tokio::select! {
        done = work => done,
        never = extend() => match never {},
    }
}

/// Reports that the start is complete.
pub fn ready(status: &str) {
    if let Err(error) = sd_notify::notify(&[NotifyState::Status(status), NotifyState::Ready]) {
        warn!(
            error = &error as &dyn std::error::Error,
            "could not notify the service manager that the start is complete"
        );
    }
}

/// Sets the status text.
pub fn status(words: &str) {
    notify(&[NotifyState::Status(words)]);
}

/// Resets the watchdog timer.
pub fn alive() {
    notify(&[NotifyState::Watchdog]);
}

/// Waits until the watchdog timer should be reset (half of its limit); for ever if there is no watchdog.
pub async fn until_watchdog_is_due() {
    match sd_notify::watchdog_enabled() {
        Some(limit) => tokio::time::sleep(limit / 2).await,
        None => std::future::pending().await,
    }
}

/// Waits for the stop token, reports that the process is stopping, and extends systemd's stop time limit meanwhile. Never
/// completes.
pub async fn draining(stop: &CancellationToken, grace: Duration) -> Infallible {
    stop.cancelled().await;
    notify(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    // A process that takes longer is hung, so no further extension is requested.
    tokio::time::timeout(grace.saturating_add(AFTER_GRACE), extend()).await.ok();
    std::future::pending().await
}

async fn extend() -> Infallible {
    let more = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
    loop {
        notify(&[NotifyState::ExtendTimeoutUsec(more)]);
        tokio::time::sleep(EXTEND_EVERY).await;
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // A failed notification must not affect the work.
    sd_notify::notify(states).ok();
}
