//! A cell, one keyword in one area, and what follows from a page of it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::AddAssign;

use super::geo::{Area, GROWTH, Rect};
use super::keyword::KeywordId;
use super::place::{Place, PlaceId};
use super::station::StationId;

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

/// How much of what it found the API showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All of it, and that is proven: only such a cell can tell that something is not there.
    All,
    /// Not as many as it counted, or something that does not belong here.
    Short,
    /// It shows no more of a search.
    Truncated,
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

/// What the pages of a cell have brought, and what that proves.
#[derive(Clone, Debug)]
pub struct Evidence {
    area: Area,
    /// The different places.
    places: BTreeMap<PlaceId, Place>,
    /// Documents that are no places, of the reading that had most of them.
    rejected: u32,
    total_count: u32,
    pages: u32,
    is_cut_off: bool,
    is_doubtful: bool,
}

impl Evidence {
    /// Begins without any page of an area.
    #[must_use]
    pub fn of(area: Area) -> Self {
        let places = BTreeMap::new();
        Self { area, places, rejected: 0, total_count: 0, pages: 0, is_cut_off: false, is_doubtful: false }
    }

    /// Adds a page.
    pub fn add(&mut self, meta: Meta, places: Vec<Place>, rejected: u32) {
        self.is_doubtful |= self.pages > 0 && meta.total_count != self.total_count;
        self.is_doubtful |= places.iter().any(|place| !self.holds(place));
        self.is_cut_off |= meta.is_cut_off();
        self.total_count = meta.total_count;
        self.pages += 1;
        self.rejected += rejected;
        self.places.extend(places.into_iter().map(|place| (place.id.clone(), place)));
    }

    /// Adds what another reading of the same area brought. Where that one proves everything, the doubts are over.
    pub fn join(&mut self, other: Self) {
        let is_proof = other.shown() == Shown::All;
        self.is_doubtful =
            !is_proof && (self.is_doubtful || other.is_doubtful || self.total_count != other.total_count);
        self.total_count = other.total_count;
        self.rejected = self.rejected.max(other.rejected);
        self.pages += other.pages;
        self.is_cut_off |= other.is_cut_off;
        self.places.extend(other.places);
    }

    /// Adds places of a narrower search, which prove nothing for the whole.
    pub fn collect(&mut self, part: Self) {
        self.pages += part.pages;
        self.is_doubtful |= part.is_doubtful;
        self.places.extend(part.places);
    }

    /// Whether a page said that there is more than can be shown.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Whether as many different places came as the API counted.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.places.len() + self.rejected as usize >= self.total_count as usize
    }

    /// What is proven.
    #[must_use]
    pub fn shown(&self) -> Shown {
        match (self.is_whole(), self.is_cut_off) {
            (true, _) if !self.is_doubtful => Shown::All,
            (false, true) => Shown::Truncated,
            _ => Shown::Short,
        }
    }

    /// Matches that the API counted last.
    #[must_use]
    pub fn total_count(&self) -> u32 {
        self.total_count
    }

    /// Pages that were read.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// The different places so far.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.places.values()
    }

    /// The different places, and how many documents were none.
    #[must_use]
    pub fn into_places(self) -> (Vec<Place>, u32) {
        (self.places.into_values().collect(), self.rejected)
    }

    /// Whether a place lies in the area, or a metre beside it.
    fn holds(&self, place: &Place) -> bool {
        match self.area {
            Area::Circle(circle) => circle.center.distance_m(place.position) <= f64::from(circle.radius_m) + 1.0,
            Area::Rect(Rect { west, south, east, north }) => {
                let around =
                    Rect { west: west - GROWTH, south: south - GROWTH, east: east + GROWTH, north: north + GROWTH };
                around.contains(place.position)
            }
        }
    }
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
