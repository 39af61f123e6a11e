//! SIGTERM and SIGINT: the first asks to stop, the second ends the process.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook_tokio::Signals;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The exit code of a process that a second signal ended: its run stays unfinished.
const INTERRUPTED: i32 = 4;

/// Makes the second signal end the process, and returns a future that cancels `stop` at the first one.
///
/// The future never ends; it is to be raced against the work.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn on_signal(stop: CancellationToken) -> io::Result<impl Future<Output = ()>> {
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // In this order: the first signal finds the flag down and raises it, the second finds it up.
        flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&is_stopping))?;
        flag::register(signal, Arc::clone(&is_stopping))?;
    }
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    Ok(async move {
        while let Some(signal) = signals.next().await {
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            info!(signal = name, "{name} received, stopping; a second signal ends at once");
            stop.cancel();
        }
        std::future::pending::<()>().await;
    })
}

/// The time that the last requests and writes may take after the stop token has fired.
#[derive(Debug)]
pub struct Grace<'a> {
    stop: &'a CancellationToken,
    period: Duration,
    since: OnceLock<Instant>,
}

impl<'a> Grace<'a> {
    /// Counts from the moment at which `stop` fires.
    #[must_use]
    pub fn new(stop: &'a CancellationToken, period: Duration) -> Self {
        Self { stop, period, since: OnceLock::new() }
    }

    /// The stop token.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        self.stop
    }

    /// Waits until the period is over; without a stop, for ever.
    pub async fn over(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep_until(*self.since.get_or_init(Instant::now) + self.period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_grace_period_counts_from_the_signal_however_often_it_is_waited_for() {
        let stop = CancellationToken::new();
        let grace = Grace::new(&stop, Duration::from_secs(30));
        stop.cancel();
        let start = Instant::now();

        tokio::time::timeout(Duration::from_secs(20), grace.over()).await.unwrap_err();
        grace.over().await;

        assert_eq!(start.elapsed().as_secs(), 30);
    }
}
