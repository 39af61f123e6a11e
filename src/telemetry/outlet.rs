//! A log destination that never blocks the caller: a bounded buffer, and a thread that writes it.
//!
//! A paused terminal, an unread pipe or a full disk affects only this thread. Lines that do not fit into the buffer are
//! dropped and counted, and the count is logged when writing works again.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use tracing::warn;

/// Capacity of the buffer: some thousand lines.
const CAPACITY_BYTES: usize = 1 << 20;

/// Maximum size of one write. A pipe takes this much atomically, and it is small enough to tell a slow reader from an
/// absent one.
const PIECE_BYTES: usize = 4 << 10;

/// Wait before the next attempt if a non-blocking descriptor takes nothing.
const RETRY: Duration = Duration::from_millis(50);

/// Time limits for writing the buffer: without any progress, and in total.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A log destination; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Outlet(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The name of the destination, for messages.
    destination: String,
    dropped: Counter,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    waiting_lines: u64,
    writing_lines: u64,
    is_writing: bool,
    /// Number of writes that succeeded.
    progress: u64,
    /// Number of lines dropped since this was last logged, and why the last one was dropped.
    dropped: u64,
    why: Option<String>,
    is_over: bool,
}

impl Outlet {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(destination: String, to: impl Write + Send + 'static, dropped: Counter) -> io::Result<Self> {
        let shared = Shared { destination, dropped, state: Mutex::default(), changed: Condvar::new() };
        let outlet = Self(Arc::new(shared));
        let worker = Arc::clone(&outlet.0);
        // The thread is never joined, because it may hang in a write. It ends with the process at the latest.
        thread::Builder::new().name("log".to_owned()).spawn(move || worker.work(to))?;
        Ok(outlet)
    }

    /// Adds bytes that count as this many log lines. Never blocks.
    pub(super) fn push(&self, bytes: &[u8], lines: u64) {
        let mut state = self.0.lock();
        if state.waiting.len() + bytes.len() > CAPACITY_BYTES {
            return self.0.drop_lines(&mut state, lines, "it took no more".to_owned());
        }
        state.waiting.extend_from_slice(bytes);
        state.waiting_lines += lines;
        self.0.changed.notify_all();
    }

    /// Waits until everything is written, unless nobody reads it.
    pub(super) fn flush(&self) {
        drop(self.0.wait_until_written(self.0.lock()));
    }

    /// Ends the thread when everything is written, and waits for that unless nobody reads it. Returns the number of
    /// dropped lines that were not logged.
    pub(super) fn finish(&self) -> u64 {
        let mut state = self.0.lock();
        state.is_over = true;
        self.0.changed.notify_all();
        let mut state = self.0.wait_until_written(state);
        let left = state.waiting_lines + state.writing_lines;
        if left > 0 {
            self.0.drop_lines(&mut state, left, "nobody reads it".to_owned());
        }
        state.dropped
    }

    /// The name of the destination, for messages.
    pub(super) fn destination(&self) -> &str {
        &self.0.destination
    }
}

impl State {
    fn is_busy(&self) -> bool {
        self.is_writing || !self.waiting.is_empty()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic halfway through a change, so the state is consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until everything is written, or one of the time limits is reached.
    fn wait_until_written<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let started = Instant::now();
        while state.is_busy() && started.elapsed() < LONGEST_WAIT {
            let before = state.progress;
            let is_stuck = |state: &mut State| state.is_busy() && state.progress == before;
            let waited = self.changed.wait_timeout_while(state, PATIENCE, is_stuck);
            let (guard, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if timeout.timed_out() {
                break;
            }
        }
        state
    }

    fn drop_lines(&self, state: &mut State, lines: u64, why: String) {
        self.dropped.inc_by(lines);
        state.dropped += lines;
        state.why = Some(why);
    }

    fn work(&self, mut to: impl Write) {
        let mut chunk = Vec::new();
        let mut is_broken = false;
        while self.next(&mut chunk) {
            match self.write(&mut to, &chunk) {
                Ok(()) => {
                    is_broken = false;
                    self.report();
                }
                Err(error) if !is_broken => {
                    // Logged once, for the other log destination: this one is broken.
                    is_broken = true;
                    let to = &self.destination;
                    warn!(error = &error as &dyn std::error::Error, "log lines are lost: could not write to {to}");
                }
                Err(_) => {}
            }
            let mut state = self.lock();
            state.is_writing = false;
            state.writing_lines = 0;
            self.changed.notify_all();
        }
    }

    /// Waits for the next bytes to write and moves them to `chunk`; `false` after the end.
    fn next(&self, chunk: &mut Vec<u8>) -> bool {
        chunk.clear();
        let idle = |state: &mut State| state.waiting.is_empty() && !state.is_over;
        let waited = self.changed.wait_while(self.lock(), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(chunk, &mut state.waiting);
        state.writing_lines = std::mem::take(&mut state.waiting_lines);
        state.is_writing = !chunk.is_empty();
        state.is_writing
    }

    fn write(&self, to: &mut impl Write, chunk: &[u8]) -> io::Result<()> {
        let mut rest = chunk;
        while !rest.is_empty() {
            match to.write(&rest[..piece(rest)]) {
                Ok(0) => return Err(self.failed(rest, ErrorKind::WriteZero.into())),
                Ok(size) => {
                    rest = &rest[size..];
                    self.lock().progress += 1;
                    self.changed.notify_all();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(RETRY),
                Err(error) => return Err(self.failed(rest, error)),
            }
        }
        to.flush()
    }

    fn failed(&self, rest: &[u8], error: io::Error) -> io::Error {
        let lines = rest.split_inclusive(|byte| *byte == b'\n').count() as u64;
        let mut state = self.lock();
        let lines = lines.min(state.writing_lines);
        self.drop_lines(&mut state, lines, error.to_string());
        error
    }

    /// Logs the number of dropped lines, because writing works again. If the buffer is more than half full, this is
    /// left to the next call.
    fn report(&self) {
        let mut state = self.lock();
        if state.waiting.len() > CAPACITY_BYTES / 2 {
            return;
        }
        let (dropped, why) = (std::mem::take(&mut state.dropped), state.why.take().unwrap_or_default());
        // Release the lock, because logging takes it.
        drop(state);
        if dropped > 0 {
            warn!(dropped, "log lines to {} were dropped: {dropped}; {why}", self.destination);
        }
    }
}

/// Size of the next write: whole lines if possible, so that the daily file is never changed in the middle of a line.
fn piece(rest: &[u8]) -> usize {
    let most = rest.len().min(PIECE_BYTES);
    rest[..most].iter().rposition(|byte| *byte == b'\n').map_or(most, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A writer that blocks until the test allows the next write.
    struct Slow {
        allowed: Receiver<io::Result<()>>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().unwrap_or(Err(ErrorKind::BrokenPipe.into()))?;
            self.written.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Outlet, Counter, Sender<io::Result<()>>, Receiver<Vec<u8>>) {
        let ((allow, allowed), (written, read)) = (channel(), channel());
        let dropped = Counter::default();
        let outlet = Outlet::start("it".to_owned(), Slow { allowed, written }, dropped.clone()).unwrap();
        (outlet, dropped, allow, read)
    }

    #[test]
    fn lines_that_do_not_fit_the_buffer_are_dropped_and_counted() {
        let (outlet, dropped, _allow, _read) = slow();
        let line = vec![b'x'; CAPACITY_BYTES / 4];

        // One line is being written, and four fit into the buffer.
        outlet.push(&line, 1);
        while !outlet.0.lock().waiting.is_empty() {
            thread::yield_now();
        }
        for _ in 1..10 {
            outlet.push(&line, 1);
        }

        assert_eq!(dropped.get(), 5);
        assert_eq!(outlet.finish(), 10, "nothing was ever written");
    }

    #[test]
    fn a_reader_gets_all_lines_at_the_end() {
        let (outlet, dropped, allow, read) = slow();
        for _ in 0..100 {
            allow.send(Ok(())).unwrap();
            outlet.push(b"a line\n", 1);
        }

        assert_eq!(outlet.finish(), 0);
        drop((outlet, allow));
        let written: Vec<u8> = read.iter().flatten().collect();
        assert_eq!(written, b"a line\n".repeat(100));
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn lines_lost_to_a_full_disk_are_counted_and_later_lines_are_written() {
        let (outlet, dropped, allow, read) = slow();
        allow.send(Err(ErrorKind::StorageFull.into())).unwrap();
        outlet.push(b"first\n", 1);
        while dropped.get() == 0 {
            thread::yield_now();
        }

        allow.send(Ok(())).unwrap();
        outlet.push(b"second\n", 1);

        assert_eq!(read.recv().unwrap(), b"second\n");
        assert_eq!(dropped.get(), 1);
    }

    #[test]
    fn a_write_ends_with_a_complete_line_if_possible() {
        let long = vec![b'x'; 2 * PIECE_BYTES];

        assert_eq!(piece(b"one\ntwo\nthr"), 8);
        assert_eq!(piece(b"one"), 3);
        assert_eq!(piece(&long), PIECE_BYTES);
    }
}
