//! Starts the threads of the runtime before the work begins, and checks that the other threads can be started.
//!
//! Otherwise a limit on threads (`ulimit -u`, systemd's `TasksMax`, a container's `pids.max`) would cause a failure in the
//! middle of a run: a panic because a thread cannot be started, or a DNS lookup that never gets a thread.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// The number of worker threads. The tasks mostly wait: with a second worker, a crawl takes as long, and an eighth more
/// processor time to wake the threads. The thread of the main future and those for blocking work come in addition.
const WORKERS: usize = 1;

/// The number of threads for blocking work, such as DNS lookups.
const BLOCKING: usize = 8;

/// The number of threads that other modules start, such as the log writers, and a reserve.
const OTHERS: usize = 4;

/// How long an idle blocking thread is kept: longer than any process runs.
const KEEP_ALIVE: Duration = Duration::from_hours(24 * 365 * 100);

/// Time limit for the start of a thread.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the runtime could not be created.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The limit on threads is too low.
    #[error(
        "{wanted} threads are needed but only {started} could be started; raise the limit on threads (ulimit -u, TasksMax= \
         of the systemd unit, pids_limit of the container)"
    )]
    TooFew {
        /// The number of threads needed.
        wanted: usize,
        /// The number of threads that could be started.
        started: usize,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The system refused another resource that the runtime needs.
    #[error("could not set up the async runtime")]
    Runtime(#[source] io::Error),
}

/// Creates a runtime and starts all its threads.
///
/// # Errors
/// When the limit on threads is too low, or the runtime cannot be created.
pub fn runtime() -> Result<Runtime, Error> {
    probe(WORKERS + BLOCKING + OTHERS)?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(BLOCKING)
        .thread_keep_alive(KEEP_ALIVE)
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    start_blocking_threads(&runtime)?;
    Ok(runtime)
}

/// Checks that this many threads can exist at the same time, and ends them again. The runtime panics if it cannot start a
/// thread; this returns an error instead.
fn probe(wanted: usize) -> Result<(), Error> {
    let mut threads = Vec::with_capacity(wanted);
    for started in 0..wanted {
        let (end, ended) = mpsc::channel::<()>();
        // The thread ends when `end` is dropped.
        let thread = thread::Builder::new().spawn(move || ended.recv().is_ok());
        let thread = thread.map_err(|cause| Error::TooFew { wanted, started, cause })?;
        threads.push((end, thread));
    }
    for (end, thread) in threads {
        drop(end);
        thread.join().ok();
    }
    Ok(())
}

/// Makes the runtime start all its blocking threads: each task blocks until all have started, so each needs a thread.
fn start_blocking_threads(runtime: &Runtime) -> Result<(), Error> {
    let (arrive, arrived) = mpsc::channel();
    let ends: Vec<mpsc::Sender<()>> = (0..BLOCKING)
        .map(|_| {
            let (end, ended) = mpsc::channel();
            let arrive = arrive.clone();
            runtime.spawn_blocking(move || arrive.send(()).is_ok() && ended.recv().is_ok());
            end
        })
        .collect();
    for started in 0..ends.len() {
        let late = |_| Error::TooFew { wanted: BLOCKING, started, cause: io::ErrorKind::TimedOut.into() };
        arrived.recv_timeout(PATIENCE).map_err(late)?;
    }
    Ok(())
}
