//! Writes the results of a run.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::memory::Share;
use super::progress::Progress;
use crate::clock;
use crate::domain::cell::{Cell, Outcome};
use crate::domain::station::StationMap;
use crate::store::{self, Checked, Confirmed, Fence, Store};

/// Number of cells at which a batch is written.
const MAX_CELLS: usize = 50;

/// Time after the first cell of a batch at which it is written.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// Time limit of a write. Statements have a time limit of their own, but it does not cover a half-open connection.
const PATIENCE: Duration = Duration::from_secs(90);

/// Maximum memory of the places in a batch, in bytes.
const MAX_BYTES: usize = 2 << 20;

/// An outcome, and the memory that it holds until it is written.
pub(super) type Fetched = (Outcome, Share);

/// Writes the results of one run.
#[derive(Clone, Debug)]
pub struct Writer {
    /// The database.
    pub store: Store,
    /// The claim of this process on the run.
    pub fence: Fence,
    /// The stations in use, to list places.
    pub stations: Arc<StationMap>,
    /// The counters for observers.
    pub progress: Progress,
}

/// Divided cells that were written.
#[derive(Debug)]
pub(super) struct Divided {
    /// How many.
    pub(super) count: usize,
    /// Their sub-rectangles.
    pub(super) cells: Vec<Cell>,
}

/// What connects the writer with fetching.
#[derive(Debug)]
pub(super) struct Inbox {
    pub(super) outcomes: mpsc::Receiver<Fetched>,
    pub(super) divided: mpsc::Sender<Divided>,
    /// Notified when the current batch should not wait for more outcomes.
    pub(super) hurry: Arc<Notify>,
}

impl Writer {
    /// Writes outcomes in batches until the channel is closed.
    pub(super) async fn write_all(self, mut inbox: Inbox) -> Result<(), store::Error> {
        let mut next = inbox.outcomes.recv().await;
        while let Some(first) = next {
            let (batch, rest) = inbox.collect(first).await;
            let (batch, shares): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let cells = self.write(&batch).await?;
            let count = batch.iter().filter(|outcome| !outcome.pieces().is_empty()).count();
            drop((batch, shares));
            if count > 0 {
                // Sending fails only after the work has ended early; then nothing new begins.
                inbox.divided.send(Divided { count, cells }).await.ok();
            }
            next = match rest {
                Some(rest) => Some(rest),
                None => inbox.outcomes.recv().await,
            };
        }
        Ok(())
    }

    /// Writes a batch. Returns the sub-rectangles of its divided cells.
    async fn write(&self, batch: &[Outcome]) -> Result<Vec<Cell>, store::Error> {
        let _in_database = self.progress.in_database();
        let writing = self.store.write(self.fence, &self.stations, batch, clock::now());
        let written = tokio::time::timeout(PATIENCE, writing).await;
        let (written, cells) = written.map_err(|_| store::Error::Silent(PATIENCE))??;
        self.progress.wrote(written);
        Ok(cells)
    }

    /// Records what the canaries found.
    pub(super) async fn record_canaries(&self, checked: Checked<'_>) -> Result<(), store::Error> {
        self.store.record_canaries(self.fence, &self.stations, checked, clock::now()).await?;
        self.progress.begin(&self.store.counts(self.fence.run).await?);
        Ok(())
    }

    /// Writes known places that a search by name has found again.
    pub(super) async fn confirm(&self, confirmed: Confirmed<'_>) -> Result<(), store::Error> {
        let written = self.store.confirm(self.fence, &self.stations, confirmed, clock::now()).await?;
        self.progress.wrote(written);
        Ok(())
    }

    /// Writes new content of known places that a search by name has confirmed.
    pub(super) async fn store_confirmed(&self, confirmed: Confirmed<'_>) -> Result<(), store::Error> {
        let written = self.store.store_confirmed(self.fence, &self.stations, confirmed, clock::now()).await?;
        self.progress.wrote(written);
        Ok(())
    }
}

impl Inbox {
    /// Collects a batch. Also returns an outcome that was received but did not fit into it.
    async fn collect(&mut self, first: Fetched) -> (Vec<Fetched>, Option<Fetched>) {
        let mut bytes = first.1.bytes();
        let mut batch = vec![first];
        let deadline = Instant::now() + MAX_WAIT;
        while batch.len() < MAX_CELLS {
            let next = tokio::select! {
                biased;
                next = self.outcomes.recv() => next,
                () = self.hurry.notified() => None,
                () = tokio::time::sleep_until(deadline) => None,
            };
            match next {
                Some(fetched) if bytes + fetched.1.bytes() > MAX_BYTES => return (batch, Some(fetched)),
                Some(fetched) => {
                    bytes += fetched.1.bytes();
                    batch.push(fetched);
                }
                None => break,
            }
        }
        (batch, None)
    }
}
