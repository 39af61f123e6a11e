//! Signal handling: the first signal requests a stop, the second ends the process immediately.
//!
//! SIGTERM, SIGINT and SIGQUIT request a stop. So does SIGHUP (the terminal was closed), but it never counts as the second
//! signal, because a closing terminal may send it several times and service managers may send it together with SIGTERM. If
//! SIGHUP is ignored when the process starts (`nohup`), it stays ignored. The Rust runtime ignores SIGPIPE, so a closed pipe
//! does not end a run.

mod backstop;

use std::fs;
use std::io;
use std::os::raw::c_int;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::{flag, low_level};
use signal_hook_tokio::Signals;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use backstop::Backstop;

/// The exit code of a process that was ended by a second signal; its run stays unfinished.
const INTERRUPTED: i32 = 4;

/// Installs the signal handlers. The returned future cancels `stop` at the first signal; the second signal ends the process.
/// If the process has not ended within `work` after the first signal, the backstop ends it.
///
/// The future never completes. Run it concurrently with the work, for example with `select!`.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn on_signal(stop: CancellationToken, work: Duration) -> io::Result<(Backstop, impl Future<Output = ()>)> {
    let mut stopping = vec![SIGTERM, SIGINT, SIGQUIT];
    if !is_ignored(SIGHUP) {
        stopping.push(SIGHUP);
    }
    // Before the flags: a signal that only set a flag would be lost as a request to stop.
    let signals = Signals::new(&stopping)?;
    let backstop = Backstop::start(&stopping, work)?;
    let is_stopping = Arc::new(AtomicBool::new(false));
    for signal in stopping {
        // The order matters: the first signal finds the flag unset and sets it, the second finds it set and ends the process.
        if signal != SIGHUP {
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&is_stopping))?;
        }
        flag::register(signal, Arc::clone(&is_stopping))?;
    }
    let watching = async move {
        let mut signals = signals;
        while let Some(signal) = signals.next().await {
            let name = low_level::signal_name(signal).unwrap_or("a signal");
            // Before the message: no request is sent after it.
            stop.cancel();
            info!(signal = name, "{name} received, stopping; a second signal ends the process immediately");
        }
        std::future::pending::<()>().await;
    };
    Ok((backstop, watching))
}

/// Whether the process was started with a signal ignored; `false` if that cannot be determined.
fn is_ignored(signal: c_int) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}

/// Runs a computation that may take seconds on a blocking thread, so that it does not block other tasks. Returns `None` if
/// the stop token is cancelled first; the result is then discarded. A panic in the computation is propagated.
pub async fn beside<T: Send + 'static>(
    stop: &CancellationToken,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let working = tokio::task::spawn_blocking(work);
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        done = working => Some(done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))),
    }
}

/// The grace period: the time limit for the last requests and writes after the stop token was cancelled.
#[derive(Debug)]
pub struct Grace<'a> {
    stop: &'a CancellationToken,
    period: Duration,
    since: OnceLock<Instant>,
}

impl<'a> Grace<'a> {
    /// A grace period that starts when `stop` is cancelled.
    #[must_use]
    pub fn new(stop: &'a CancellationToken, period: Duration) -> Self {
        Self { stop, period, since: OnceLock::new() }
    }

    /// The stop token.
    #[must_use]
    pub fn stop(&self) -> &CancellationToken {
        self.stop
    }

    /// Waits until the grace period is over; for ever if `stop` is never cancelled.
    pub async fn over(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep_until(*self.since.get_or_init(Instant::now) + self.period).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_computation_does_not_delay_a_stop() {
        let (stop, (release, held)) = (CancellationToken::new(), std::sync::mpsc::channel::<()>());
        assert_eq!(beside(&stop, || 1).await, Some(1));

        let (computed, ()) = tokio::join!(beside(&stop, move || held.recv().ok()), async { stop.cancel() });

        assert_eq!(computed, None);
        drop(release);
    }

    #[tokio::test(start_paused = true)]
    async fn the_grace_period_starts_at_the_signal_even_if_it_is_awaited_twice() {
        let stop = CancellationToken::new();
        let grace = Grace::new(&stop, Duration::from_secs(30));
        stop.cancel();
        let start = Instant::now();

        tokio::time::timeout(Duration::from_secs(20), grace.over()).await.unwrap_err();
        grace.over().await;

        assert_eq!(start.elapsed().as_secs(), 30);
    }
}
