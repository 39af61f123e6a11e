//! Ends the process if it does not stop in time after a signal, for example because it is blocked while it writes results to a
//! paused terminal or to a pipe that nobody reads. A blocked write cannot be cancelled, so a separate thread ends the process.

use std::io;
use std::os::raw::c_int;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::iterator::Signals;
use signal_hook::low_level;

use super::INTERRUPTED;

/// Interval at which the thread checks whether the time limit has passed.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Time limit for writing the results, from the signal or from the end of the work, whichever is later.
const RESULTS_TIMEOUT: Duration = Duration::from_secs(2);

/// The thread that ends the process, and the instant from which only the results remain to be written, once the work has
/// ended. Clones share that instant.
#[derive(Clone, Debug, Default)]
pub struct Backstop(Arc<OnceLock<Instant>>);

impl Backstop {
    /// Starts the thread. After one of `signals`, the process has the duration `work` to end its work.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(signals: &[c_int], work: Duration) -> io::Result<Self> {
        let backstop = Self::default();
        let results_since = Arc::clone(&backstop.0);
        let mut signals = Signals::new(signals)?;
        let watch = move || {
            signals.forever().next();
            let asked_at = Instant::now();
            while !is_over(asked_at, results_since.get().copied(), work) {
                thread::park_timeout(CHECK_EVERY);
            }
            low_level::exit(INTERRUPTED);
        };
        // The thread is never joined; it ends with the process.
        thread::Builder::new().name("backstop".to_owned()).spawn(watch)?;
        Ok(backstop)
    }

    /// Records that the work has ended and only results remain to be written.
    pub fn results(&self) {
        self.0.get_or_init(Instant::now);
    }
}

/// Whether the time limit has passed: that of the work, or that of the results if the work has ended.
fn is_over(asked_at: Instant, results_since: Option<Instant>, work: Duration) -> bool {
    match results_since {
        Some(since) => since.max(asked_at).elapsed() >= RESULTS_TIMEOUT,
        None => asked_at.elapsed() >= work,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_have_two_seconds_from_the_signal_or_from_the_end_of_the_work() {
        let long_ago = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        let work = Duration::from_hours(1);

        assert!(!is_over(long_ago, None, work), "the time for the work is not over");
        assert!(is_over(long_ago, None, Duration::from_secs(30)));
        assert!(is_over(long_ago, Some(long_ago), work));
        assert!(!is_over(long_ago, Some(Instant::now()), work), "the results have just begun");
        assert!(!is_over(Instant::now(), Some(long_ago), work), "the signal has just arrived");
    }
}
