//! Notices to the service manager that started the process: it is ready, alive, what it does, it stops.
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is sent. No timer says that the process is alive: what moves says
//! so itself, the scheduler at each turn and a run while it gets on. So the watchdog ends a process that hangs, and no
//! process that waits for somebody else.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How much more time is asked for while the process starts or stops, and how often.
const EXTENSION: Duration = Duration::from_secs(30);
const EXTEND_EVERY: Duration = Duration::from_secs(5);

/// What stopping may take after the grace period: the last words of a run, requests and connections given back.
const AFTER_GRACE: Duration = Duration::from_secs(30);

/// Does what comes before the process is ready, however long it takes: the time limit of the start is there for a process
/// that hangs.
pub async fn starting<T>(status: &str, work: impl Future<Output = T>) -> T {
    self::status(status);
    tokio::select! {
        done = work => done,
        never = extend() => match never {},
    }
}

/// Says that the start is over.
pub fn ready(status: &str) {
    if let Err(error) = sd_notify::notify(&[NotifyState::Status(status), NotifyState::Ready]) {
        warn!(error = &error as &dyn std::error::Error, "could not tell the service manager that all is ready");
    }
}

/// Says in words what the process does.
pub fn status(words: &str) {
    tell(&[NotifyState::Status(words)]);
}

/// Feeds the watchdog.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// Waits until the watchdog should be fed; for ever where there is none.
pub async fn until_hungry() {
    match sd_notify::watchdog_enabled() {
        Some(limit) => tokio::time::sleep(limit / 2).await,
        None => std::future::pending().await,
    }
}

/// Waits for the stop token, says that the process stops, and asks for the time that this may take. Never ends.
pub async fn draining(stop: &CancellationToken, grace: Duration) -> Infallible {
    stop.cancelled().await;
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    // What takes longer hangs.
    tokio::time::timeout(grace.saturating_add(AFTER_GRACE), extend()).await.ok();
    std::future::pending().await
}

async fn extend() -> Infallible {
    let more = u32::try_from(EXTENSION.as_micros()).unwrap_or(u32::MAX);
    loop {
        tell(&[NotifyState::ExtendTimeoutUsec(more)]);
        tokio::time::sleep(EXTEND_EVERY).await;
    }
}

fn tell(notices: &[NotifyState<'_>]) {
    // A service manager that does not listen must not disturb the work.
    sd_notify::notify(notices).ok();
}
