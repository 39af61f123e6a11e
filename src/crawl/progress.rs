//! The counters of a crawl for observers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Span;

use crate::domain::cell::{CellStatus, Outcome};
use crate::store::{Counts, Written};

/// The counters of a running crawl, for example for a progress bar. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    span: Mutex<Span>,
    cells_total: AtomicU64,
    cells_done: AtomicU64,
    cells_failed: AtomicU64,
    places_seen: AtomicU64,
    places_new: AtomicU64,
    places_changed: AtomicU64,
    /// Number of parts of the crawl that read or write the database at this moment.
    in_database: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Cells of the run; 0 while no run is active.
    pub cells_total: u64,
    /// Cells that were read or split, including those before the run was resumed.
    pub cells_done: u64,
    /// Cells that failed and are not tried again.
    pub cells_failed: u64,
    /// Distinct places found by the run, including those before it was resumed.
    pub places_seen: u64,
    /// Places that were not stored before.
    pub places_new: u64,
    /// Stored places whose content changed.
    pub places_changed: u64,
}

/// The mark of [`Progress::in_database`].
#[derive(Debug)]
pub(super) struct InDatabase<'a>(&'a AtomicU64);

impl Drop for InDatabase<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            span: Mutex::new(Span::none()),
            cells_total: AtomicU64::default(),
            cells_done: AtomicU64::default(),
            cells_failed: AtomicU64::default(),
            places_seen: AtomicU64::default(),
            places_new: AtomicU64::default(),
            places_changed: AtomicU64::default(),
            in_database: AtomicU64::default(),
        }
    }
}

impl Progress {
    /// Sets the counters at the start of a new or resumed run.
    pub fn begin(&self, counts: &Counts) {
        self.set(Snapshot {
            cells_total: u64::from(counts.cells_total.unsigned_abs()),
            cells_done: u64::from((counts.cells_done + counts.cells_split).unsigned_abs()),
            cells_failed: u64::from(counts.cells_failed.unsigned_abs()),
            places_seen: u64::from(counts.places_seen.unsigned_abs()),
            places_new: u64::from(counts.places_new.unsigned_abs()),
            places_changed: u64::from(counts.places_changed.unsigned_abs()),
        });
    }

    fn set(&self, snapshot: Snapshot) {
        *self.0.span.lock().unwrap_or_else(PoisonError::into_inner) = Span::current();
        let counters = [
            (&self.0.cells_total, snapshot.cells_total),
            (&self.0.cells_done, snapshot.cells_done),
            (&self.0.cells_failed, snapshot.cells_failed),
            (&self.0.places_seen, snapshot.places_seen),
            (&self.0.places_new, snapshot.places_new),
            (&self.0.places_changed, snapshot.places_changed),
        ];
        for (counter, count) in counters {
            counter.store(count, Relaxed);
        }
    }

    /// Resets the counters at the end of a run.
    pub fn end(&self) {
        self.set(Snapshot::default());
    }

    /// The tracing span of the run, for log messages of observers.
    #[must_use]
    pub fn span(&self) -> Span {
        self.0.span.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            cells_total: self.0.cells_total.load(Relaxed),
            cells_done: self.0.cells_done.load(Relaxed),
            cells_failed: self.0.cells_failed.load(Relaxed),
            places_seen: self.0.places_seen.load(Relaxed),
            places_new: self.0.places_new.load(Relaxed),
            places_changed: self.0.places_changed.load(Relaxed),
        }
    }

    /// Whether the crawl reads or writes the database.
    #[must_use]
    pub fn is_in_database(&self) -> bool {
        self.0.in_database.load(Relaxed) > 0
    }

    /// Marks that a part of the crawl reads or writes the database, until the returned guard is dropped.
    pub(super) fn in_database(&self) -> InDatabase<'_> {
        self.0.in_database.fetch_add(1, Relaxed);
        InDatabase(&self.0.in_database)
    }

    pub(super) fn took(&self, outcome: &Outcome) {
        self.0.cells_total.fetch_add(outcome.pieces().len() as u64, Relaxed);
        match outcome.status() {
            CellStatus::Done | CellStatus::Split => self.0.cells_done.fetch_add(1, Relaxed),
            CellStatus::Failed => self.0.cells_failed.fetch_add(1, Relaxed),
            CellStatus::Pending => 0,
        };
    }

    pub(super) fn wrote(&self, written: Written) {
        self.0.places_seen.fetch_add(u64::from(written.places_seen), Relaxed);
        self.0.places_new.fetch_add(u64::from(written.places_new), Relaxed);
        self.0.places_changed.fetch_add(u64::from(written.places_changed), Relaxed);
        // `took` counted these cells as done before the database refused them.
        self.0.cells_done.fetch_sub(u64::from(written.cells_refused), Relaxed);
    }
}
