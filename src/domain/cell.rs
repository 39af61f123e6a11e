//! A cell (one keyword searched in one area), its outcome, and how its pages are read.

mod evidence;
mod rejected;

use std::num::NonZeroU32;
use std::ops::AddAssign;

use super::geo::Rect;
use super::keyword::KeywordId;
use super::place::Place;
use super::station::StationId;

pub use evidence::{Evidence, Shown};
pub use rejected::{Rejected, are_too_many_rejected};

/// Number of places on a full page.
pub const PAGE_SIZE: u32 = 15;

/// The highest page number that the API accepts.
const LAST_PAGE: u32 = 45;

/// The number of a cell within its run, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellNo(pub i32);

/// The area of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellArea {
    /// Within the run's radius around a station.
    Around(StationId),
    /// In a rectangle.
    Within(Rect),
}

/// One keyword in one area: the unit of work and of the ledger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Its number within the run.
    pub no: CellNo,
    /// What is searched for.
    pub keyword: KeywordId,
    /// The area.
    pub area: CellArea,
    /// How often it has failed in this run.
    pub failures: i16,
    /// Requests sent for it so far. The ledger compares this number, so that an outcome is stored only once.
    pub attempts: i32,
    /// The cell that was divided into this one and others; `None` for a planned cell.
    pub parent: Option<Parent>,
}

/// A cell that was divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its number within the run.
    pub no: CellNo,
    /// Number of matches that the API counted in it.
    pub total_count: u32,
}

/// Start of the error of a cell that was not divided because the run has too many cells.
pub const OVER_LIMIT: &str = "the run has reached its limit of";

/// Numbers of requests sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All requests.
    pub requests: u32,
    /// Requests that repeated a failed one.
    pub retries: u32,
    /// Requests answered with 429.
    pub throttled: u32,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.throttled += other.throttled;
    }
}

/// The outcome of the work on a cell.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The cell as it was before.
    pub cell: Cell,
    /// How the work ended.
    pub ending: Ending,
    /// The requests sent for it.
    pub traffic: Traffic,
    /// Documents that are not stored, or not in full.
    pub rejected: Rejected,
    /// The places found; empty unless the cell is done or split.
    pub places: Vec<Place>,
}

/// How the work on a cell ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// All its pages were read.
    Done {
        /// Matches that the API found.
        total_count: u32,
        /// Pages that were read.
        pages: u32,
        /// How much of the matches the API showed.
        shown: Shown,
    },
    /// The result was truncated by the API's 45-result limit; the cell is replaced by sub-rectangles.
    Split {
        /// Matches that the API found.
        total_count: u32,
        /// Pages that were read.
        pages: u32,
        /// The sub-rectangles.
        pieces: Vec<Rect>,
    },
    /// It failed for this reason.
    Failed(String),
    /// The work was stopped before the end; the cell stays pending.
    Stopped,
}

/// The order of the results of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By relevance, independent of the distance.
    #[default]
    Accuracy,
    /// By distance from the centre, the nearest first.
    Distance,
}

/// The status of a cell in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellStatus {
    /// Still to be done.
    Pending,
    /// All its pages are stored.
    Done,
    /// Replaced by its sub-rectangles.
    Split,
    /// Failed twice; it is not tried again in this run.
    Failed,
}

impl CellStatus {
    /// The value in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Split => "split",
            Self::Failed => "failed",
        }
    }
}

/// Number of failures after which a cell is not tried again.
const MAX_FAILURES: i16 = 2;

impl Outcome {
    /// How often the cell has failed, this outcome included.
    #[must_use]
    pub fn failures(&self) -> i16 {
        self.cell.failures + i16::from(matches!(self.ending, Ending::Failed(_)))
    }

    /// The same outcome as a failure, without its places.
    #[must_use]
    pub fn failed(self, reason: String) -> Self {
        Self { ending: Ending::Failed(reason), places: Vec::new(), rejected: Rejected::default(), ..self }
    }

    /// How much of the matches the API showed; `None` unless the cell is done.
    #[must_use]
    pub fn shown(&self) -> Option<Shown> {
        match self.ending {
            Ending::Done { shown, .. } => Some(shown),
            Ending::Split { .. } | Ending::Failed(_) | Ending::Stopped => None,
        }
    }

    /// The sub-rectangles; empty unless the cell is split.
    #[must_use]
    pub fn pieces(&self) -> &[Rect] {
        match &self.ending {
            Ending::Split { pieces, .. } => pieces,
            Ending::Done { .. } | Ending::Failed(_) | Ending::Stopped => &[],
        }
    }

    /// The status of the cell after this outcome. After its first failure it stays pending and is tried once more at the
    /// end of the run.
    #[must_use]
    pub fn status(&self) -> CellStatus {
        match self.ending {
            Ending::Done { .. } => CellStatus::Done,
            Ending::Split { .. } => CellStatus::Split,
            Ending::Failed(_) if self.failures() >= MAX_FAILURES => CellStatus::Failed,
            Ending::Failed(_) | Ending::Stopped => CellStatus::Pending,
        }
    }
}

/// The `meta` object of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Number of all matches.
    pub total_count: u32,
    /// Number of matches that can be read page by page (at most 45).
    pub pageable_count: u32,
    /// Whether this is the last page.
    pub is_end: bool,
}

impl Meta {
    /// Whether the result is truncated: the API shows fewer places than it found. Comparing `pageable_count` with 45 is not
    /// enough, because truncated results with a `pageable_count` of 44 were recorded.
    #[must_use]
    pub fn is_truncated(self) -> bool {
        self.total_count > self.pageable_count
    }
}

/// What to do after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Request the page with this number.
    Page(NonZeroU32),
    /// All pages are read.
    Done,
}

/// Decides what to do after page `number`, which had `documents` documents.
///
/// Beyond the end the API repeats its last page. Therefore reading ends at `is_end`, at an empty page, or at the number of
/// pages that follows from `pageable_count`, whichever comes first.
#[must_use]
pub fn next_step(number: NonZeroU32, meta: Meta, documents: usize) -> Step {
    let last = meta.pageable_count.div_ceil(PAGE_SIZE).min(LAST_PAGE);
    match number.checked_add(1) {
        Some(next) if next.get() <= last && !meta.is_end && documents > 0 => Step::Page(next),
        _ => Step::Done,
    }
}

/// The sentence that gives the number of failed cells as the reason why a run is partial.
#[must_use]
pub fn failed_twice(cells: i32) -> String {
    let cells = if cells == 1 { "1 cell".to_owned() } else { format!("{cells} cells") };
    format!("{cells} failed twice; see the view run_failure")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(number: u32, pageable_count: u32, is_end: bool, documents: usize) -> Step {
        let meta = Meta { total_count: 800, pageable_count, is_end };
        next_step(NonZeroU32::new(number).unwrap(), meta, documents)
    }

    fn page(number: u32) -> Step {
        Step::Page(NonZeroU32::new(number).unwrap())
    }

    #[test]
    fn pages_are_requested_until_the_last_one() {
        assert_eq!(step(1, 45, false, 15), page(2));
        assert_eq!(step(2, 45, false, 15), page(3));
        assert_eq!(step(2, 31, false, 15), page(3));
        assert_eq!(step(3, 45, true, 15), Step::Done);
    }

    #[test]
    fn a_cell_ends_at_its_page_count_even_without_is_end() {
        assert_eq!(step(3, 45, false, 15), Step::Done);
        assert_eq!(step(2, 30, false, 15), Step::Done);
        assert_eq!(step(45, u32::MAX, false, 15), Step::Done);
    }

    #[test]
    fn an_empty_page_ends_a_cell() {
        assert_eq!(step(1, 45, false, 0), Step::Done);
        assert_eq!(step(1, 0, true, 0), Step::Done);
    }

    #[test]
    fn a_result_is_truncated_if_the_api_counts_more_than_it_shows() {
        let meta = |total_count, pageable_count| Meta { total_count, pageable_count, is_end: false };

        assert!(meta(812, 44).is_truncated());
        assert!(!meta(45, 45).is_truncated());
    }
}
