//! A cell, one keyword in one area, and what follows from a page of it.

mod evidence;

use std::num::NonZeroU32;
use std::ops::AddAssign;

use super::geo::Rect;
use super::keyword::KeywordId;
use super::place::Place;
use super::station::StationId;

pub use evidence::{Evidence, Shown};

/// The places on a full page.
pub const PAGE_SIZE: u32 = 15;

/// The highest page number that the API takes.
const LAST_PAGE: u32 = 45;

/// The number of a cell within its run, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellNo(pub i32);

/// Where a cell lies.
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
    /// Where.
    pub area: CellArea,
    /// How often it has failed in this run.
    pub chances: i16,
    /// Requests sent for it so far; the ledger takes an outcome only once, by this number.
    pub attempts: i32,
}

/// The requests that were sent for something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// All of them.
    pub requests: u32,
    /// Those that repeated a failed one.
    pub retries: u32,
    /// Those that were answered 429.
    pub throttled: u32,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.retries += other.retries;
        self.throttled += other.throttled;
    }
}

/// What became of a cell.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The cell as it was taken up.
    pub cell: Cell,
    /// How it ended.
    pub ending: Ending,
    /// What it cost.
    pub traffic: Traffic,
    /// Documents left out because they had no id or no position.
    pub documents_rejected: u32,
    /// What it found; empty unless it is done or split.
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
        /// How much of what it found the API showed.
        shown: Shown,
    },
    /// The API found more than it shows, and pieces take the place of the cell.
    Split {
        /// Matches that the API found.
        total_count: u32,
        /// Pages that were read.
        pages: u32,
        /// The pieces.
        pieces: Vec<Rect>,
    },
    /// It failed, and why.
    Failed(String),
    /// The work was stopped before the end; the cell stays as it was.
    Stopped,
}

/// In which order an answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By relevance, which has nothing to do with the distance.
    #[default]
    Accuracy,
    /// The nearest first.
    Distance,
}

/// Where a cell stands in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellStatus {
    /// Still to be done.
    Pending,
    /// All its pages are stored.
    Done,
    /// Its pieces take its place.
    Split,
    /// Failed, and given up.
    Failed,
}

impl CellStatus {
    /// The word in the database.
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

/// How often a cell may fail before it is given up.
const CHANCES: i16 = 2;

impl Outcome {
    /// How often the cell has failed now.
    #[must_use]
    pub fn chances(&self) -> i16 {
        self.cell.chances + i16::from(matches!(self.ending, Ending::Failed(_)))
    }

    /// How much of what it found the API showed; `None` unless the cell is done.
    #[must_use]
    pub fn shown(&self) -> Option<Shown> {
        match self.ending {
            Ending::Done { shown, .. } => Some(shown),
            Ending::Split { .. } | Ending::Failed(_) | Ending::Stopped => None,
        }
    }

    /// The pieces of a cell that was split.
    #[must_use]
    pub fn pieces(&self) -> &[Rect] {
        match &self.ending {
            Ending::Split { pieces, .. } => pieces,
            Ending::Done { .. } | Ending::Failed(_) | Ending::Stopped => &[],
        }
    }

    /// Where the cell stands now: the first failure leaves it pending, for a second chance at the end of the run.
    #[must_use]
    pub fn status(&self) -> CellStatus {
        match self.ending {
            Ending::Done { .. } => CellStatus::Done,
            Ending::Split { .. } => CellStatus::Split,
            Ending::Failed(_) if self.chances() >= CHANCES => CellStatus::Failed,
            Ending::Failed(_) | Ending::Stopped => CellStatus::Pending,
        }
    }
}

/// What an answer says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// All matches.
    pub total_count: u32,
    /// How many of them can be paged to.
    pub pageable_count: u32,
    /// Whether this is the last page.
    pub is_end: bool,
}

impl Meta {
    /// Whether the API shows fewer places than it found. A count of 45 alone proves nothing: cut-off results with a
    /// pageable count of 44 were recorded.
    #[must_use]
    pub fn is_cut_off(self) -> bool {
        self.total_count > self.pageable_count
    }
}

/// What to do after a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask for the page of this number.
    Page(NonZeroU32),
    /// The cell is read.
    Done,
}

/// Decides what follows a page: `number` is its number, `documents` what it held.
///
/// Beyond the end the API repeats its last page, so the page count that follows from `pageable_count` ends a cell as
/// well as `is_end` and an empty page do.
#[must_use]
pub fn next_step(number: NonZeroU32, meta: Meta, documents: usize) -> Step {
    let last = meta.pageable_count.div_ceil(PAGE_SIZE).min(LAST_PAGE);
    match number.checked_add(1) {
        Some(next) if next.get() <= last && !meta.is_end && documents > 0 => Step::Page(next),
        _ => Step::Done,
    }
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
    fn pages_follow_until_the_end() {
        assert_eq!(step(1, 45, false, 15), page(2));
        assert_eq!(step(2, 45, false, 15), page(3));
        assert_eq!(step(2, 31, false, 15), page(3));
        assert_eq!(step(3, 45, true, 15), Step::Done);
    }

    #[test]
    fn the_page_count_ends_a_cell_that_never_says_so() {
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
    fn a_result_is_cut_off_where_more_was_found_than_is_shown() {
        let meta = |total_count, pageable_count| Meta { total_count, pageable_count, is_end: false };

        assert!(meta(812, 44).is_cut_off());
        assert!(!meta(45, 45).is_cut_off());
    }
}
