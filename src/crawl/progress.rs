//! What an onlooker sees of a crawl.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::domain::cell::{CellStatus, Outcome};
use crate::store::Written;

/// Counters of a crawl under way, read by a progress bar.
#[derive(Debug, Default)]
pub struct Progress {
    cells_total: AtomicU64,
    cells_done: AtomicU64,
    cells_failed: AtomicU64,
    documents: AtomicU64,
    places_new: AtomicU64,
    places_changed: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Cells of the run; none where no run is at work.
    pub cells_total: u64,
    /// Cells that were read or split, in earlier attempts at the run, too.
    pub cells_done: u64,
    /// Cells that were given up.
    pub cells_failed: u64,
    /// Places that cells brought; one place may come with several cells.
    pub documents: u64,
    /// Places that were not stored before.
    pub places_new: u64,
    /// Stored places whose content changed.
    pub places_changed: u64,
}

impl Progress {
    /// Begins a run of so many cells, some of which may be done or failed already.
    pub fn begin(&self, total: i32, done: i32, failed: i32) {
        for (counter, count) in [(&self.cells_total, total), (&self.cells_done, done), (&self.cells_failed, failed)] {
            counter.store(u64::from(count.unsigned_abs()), Relaxed);
        }
        for counter in [&self.documents, &self.places_new, &self.places_changed] {
            counter.store(0, Relaxed);
        }
    }

    /// Ends it: no run is at work.
    pub fn end(&self) {
        self.begin(0, 0, 0);
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            cells_total: self.cells_total.load(Relaxed),
            cells_done: self.cells_done.load(Relaxed),
            cells_failed: self.cells_failed.load(Relaxed),
            documents: self.documents.load(Relaxed),
            places_new: self.places_new.load(Relaxed),
            places_changed: self.places_changed.load(Relaxed),
        }
    }

    pub(super) fn took(&self, outcome: &Outcome) {
        self.cells_total.fetch_add(outcome.pieces().len() as u64, Relaxed);
        match outcome.status() {
            CellStatus::Done | CellStatus::Split => self.cells_done.fetch_add(1, Relaxed),
            CellStatus::Failed => self.cells_failed.fetch_add(1, Relaxed),
            CellStatus::Pending => 0,
        };
        self.documents.fetch_add(outcome.places.len() as u64, Relaxed);
    }

    pub(super) fn wrote(&self, written: Written) {
        self.places_new.fetch_add(u64::from(written.places_new), Relaxed);
        self.places_changed.fetch_add(u64::from(written.places_changed), Relaxed);
    }
}
