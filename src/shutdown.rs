//! SIGTERM and SIGINT: the first asks to stop, the second ends the process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::StreamExt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook_tokio::Signals;
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
