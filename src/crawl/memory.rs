//! Limits the memory of places that were fetched and are not written yet, however much the API sends.
//!
//! Each cell holds a share for its places until they are written. When the shares reach a first limit, no cell begins; those that
//! are open go on, so that the requests in flight stay busy. That is enough for ordinary answers. When huge answers make the
//! shares reach twice that limit, only one cell at a time continues, so that this cell always finishes and frees its share:
//! there is no deadlock. A single cell has a limit of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The first limit, in bytes, is the sum of a part for the batches that are being written, and a part for each request that may
/// be in flight: the more there are, the more open cells wait for their page delay. With 5 requests it is 3.25 MiB.
const BATCHES_BYTES: usize = 2 << 20;
const IN_FLIGHT_BYTES: usize = 256 << 10;

/// Maximum memory of one cell, in bytes. The places of an ordinary cell take about 20 kB.
const MAX_CELL_BYTES: usize = 2 << 20;

/// The memory held by all cells; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Memory(Arc<State>);

#[derive(Debug)]
struct State {
    /// The first limit.
    limit: usize,
    held: AtomicUsize,
    is_less: Notify,
    /// The permit to continue when twice the limit is reached.
    turn: Arc<Semaphore>,
}

/// The memory held by one cell; it is released on drop.
#[derive(Debug)]
pub(super) struct Share {
    memory: Memory,
    bytes: usize,
    turn: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// Nothing is held; the limit follows from how many requests may be in flight.
    pub(super) fn new(max_in_flight: usize) -> Self {
        Self::limited(BATCHES_BYTES + IN_FLIGHT_BYTES * max_in_flight)
    }

    fn limited(limit: usize) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        Self(Arc::new(State { limit, held: AtomicUsize::new(0), is_less: Notify::new(), turn }))
    }

    /// An empty share.
    pub(super) fn share(&self) -> Share {
        Share { memory: self.clone(), bytes: 0, turn: None }
    }

    /// Whether no cell may begin.
    fn is_full(&self) -> bool {
        self.0.held.load(Relaxed) >= self.0.limit
    }

    /// Whether only one cell may continue.
    fn is_overfull(&self) -> bool {
        self.0.held.load(Relaxed) >= 2 * self.0.limit
    }
}

impl Share {
    /// Waits until the cell may fetch its first places.
    pub(super) async fn wait_to_begin(&self) {
        loop {
            // Listens before it looks: another thread may free memory between the two.
            let is_less = self.memory.0.is_less.notified();
            if !self.memory.is_full() {
                return;
            }
            is_less.await;
        }
    }

    /// Waits until the cell may fetch more places.
    pub(super) async fn wait(&mut self) {
        let state = &self.memory.0;
        while self.turn.is_none() {
            let is_less = state.is_less.notified();
            if !self.memory.is_overfull() {
                return;
            }
            tokio::select! {
                // The semaphore is never closed, so this always gets a permit.
                turn = Arc::clone(&state.turn).acquire_owned() => self.turn = turn.ok(),
                () = is_less => {}
            }
        }
    }

    /// Adds the memory of fetched places; `false` if the cell exceeds its limit.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.memory.0.held.fetch_add(bytes, Relaxed);
        self.bytes <= MAX_CELL_BYTES
    }

    /// Reduces the share to `bytes`, after places that were fetched twice were merged.
    pub(super) fn keep(&mut self, bytes: usize) {
        let kept = bytes.min(self.bytes);
        self.memory.0.held.fetch_sub(self.bytes - kept, Relaxed);
        self.bytes = kept;
    }

    /// The memory held by the cell, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.0.held.fetch_sub(self.bytes, Relaxed);
        if !self.memory.is_overfull() {
            self.memory.0.is_less.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn at_twice_the_limit_one_cell_at_a_time_continues() {
        let memory = Memory::limited(3 << 19);
        let (mut first, mut second, mut third) = (memory.share(), memory.share(), memory.share());
        assert!(first.take(1 << 20) && second.take(1 << 20) && third.take(1 << 20));

        first.wait().await;
        assert!(timeout(Duration::ZERO, second.wait()).await.is_err());
        let waiting = async {
            second.wait().await;
            third.wait().await;
        };
        let ending = async { drop(first) };
        tokio::join!(waiting, ending);
    }

    #[tokio::test]
    async fn at_the_limit_no_cell_begins_and_open_cells_go_on() {
        let memory = Memory::limited(1 << 20);
        let (mut open, new) = (memory.share(), memory.share());
        new.wait_to_begin().await;
        assert!(open.take(1 << 20));

        open.wait().await;
        assert!(timeout(Duration::ZERO, new.wait_to_begin()).await.is_err());
        tokio::join!(new.wait_to_begin(), async { drop(open) });
    }

    #[test]
    fn a_cell_may_not_hold_more_than_its_limit() {
        let memory = Memory::new(1);
        let mut share = memory.share();

        assert!(share.take(MAX_CELL_BYTES));
        assert!(!share.take(1));
        drop(share);
        assert_eq!(memory.0.held.load(Relaxed), 0);
    }
}
