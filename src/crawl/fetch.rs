//! Fetches the cells of a queue, which grows while it is worked on: by the sub-rectangles of cells that were divided.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

use super::cell::Reader;
use super::early_end::EarlyEnd;
use super::memory::{Memory, Share};
use super::progress::Progress;
use super::queue::{Queue, Read};
use super::writer::{Divided, Fetched};
use crate::domain::cell::{Cell, Ending};

/// Maximum number of open cells. Most of them wait for their page delay, and the limit on memory applies to them as well.
const MAX_OPEN_CELLS: usize = 512;

/// Maximum number of open cells without their first page, for each request that may be in flight. With two, the next request
/// waits while one is in flight. With more, cells would begin before those that are found in the meantime and should go first.
const BEGINNING_CELLS: usize = 2;

/// What connects fetching with the writer.
pub(super) struct Connections {
    /// To the writer. Each outcome holds its memory until it is written.
    pub(super) outcomes: mpsc::Sender<Fetched>,
    /// From the writer: what it has divided.
    pub(super) divided: mpsc::Receiver<Divided>,
    /// Tells the writer not to wait for more outcomes.
    pub(super) hurry: Arc<Notify>,
}

/// Fetches cells.
pub(super) struct Fetching<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) early_end: &'a EarlyEnd,
    pub(super) progress: &'a Progress,
}

impl Fetching<'_> {
    /// Fetches cells until the queue is empty and nothing is left that could add to it, or until the work ends early.
    pub(super) async fn all(&self, mut queue: Queue<'_>, connections: Connections) {
        let Connections { outcomes, mut divided, hurry } = connections;
        let max_in_flight = self.reader.api.client.gate().max_in_flight();
        let memory = Memory::new(max_in_flight);
        let beginnings = Arc::new(Semaphore::new(BEGINNING_CELLS * max_in_flight));
        // Divided cells that are not written yet: their sub-rectangles have no numbers.
        let dividing = AtomicUsize::new(0);
        let mut open = FuturesUnordered::new();
        let mut next = None;
        loop {
            let may_begin = !self.early_end.no_new_cells.is_cancelled();
            let is_dividing = dividing.load(Relaxed) > 0;
            next = next.or_else(|| queue.next());
            if open.is_empty() && !(may_begin && (is_dividing || next.is_some())) {
                return;
            }
            if is_dividing && next.is_none() {
                hurry.notify_one();
            }
            tokio::select! {
                Some(read) = open.next() => {
                    if let Some((cell, read)) = read {
                        queue.learn(&cell, read);
                    }
                }
                Some(Divided { count, cells }) = divided.recv() => {
                    dividing.fetch_sub(count, Relaxed);
                    queue.extend(cells);
                }
                Ok(beginning) = Arc::clone(&beginnings).acquire_owned(),
                    if may_begin && next.is_some() && open.len() < MAX_OPEN_CELLS =>
                {
                    if let Some(cell) = next.take() {
                        open.push(self.cell(cell, beginning, memory.share(), (&outcomes, &dividing)));
                    }
                }
                () = self.early_end.no_new_cells.cancelled(), if may_begin => {}
                // The writer has ended, which ends the crawl.
                else => return,
            }
        }
    }

    /// Reads a cell and hands its outcome to the writer. Returns what the reading showed, unless it failed.
    async fn cell(
        &self,
        cell: Cell,
        beginning: OwnedSemaphorePermit,
        mut share: Share,
        (outcomes, dividing): (&mpsc::Sender<Fetched>, &AtomicUsize),
    ) -> Option<(Cell, Read)> {
        let (outcome, error) = self.reader.read(cell, beginning, &mut share).await;
        self.progress.took(&outcome);
        self.early_end.observe(&outcome, error);
        let read = match outcome.ending {
            Ending::Done { total_count, pages, .. } => Some((cell, Read { total_count, pages: Some(pages) })),
            Ending::Split { total_count, .. } => Some((cell, Read { total_count, pages: None })),
            Ending::Failed(_) | Ending::Stopped => None,
        };
        dividing.fetch_add(usize::from(!outcome.pieces().is_empty()), Relaxed);
        // A cell without requests has nothing to store, unless it failed.
        if outcome.traffic.requests > 0 || matches!(outcome.ending, Ending::Failed(_)) {
            // Sending fails only after a write has failed, and that error ends the crawl.
            outcomes.send((outcome, share)).await.ok();
        }
        read
    }
}
