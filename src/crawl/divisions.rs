//! Divides rectangles, and limits their division, because the counts of the API may be wrong.
//!
//! The number of cells follows from these counts, so there are two limits. First, a sub-rectangle can have the count of the
//! whole only if the others have almost none; a second one with that count contradicts the first and fails. Second, a run
//! has at most ten times as many cells as were planned, or 50,000 if that is more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::cover::Circles;
use super::known::Known;
use crate::domain::cell::{Cell, CellNo, Evidence, OVER_LIMIT};
use crate::domain::geo::{LatLng, Rect};
use crate::domain::keyword::KeywordId;
use crate::domain::place::Place;
use crate::store::Ledger;

/// Maximum number of cells per planned cell.
const CELLS_FOR_ONE: usize = 10;

/// The number of cells that every run may have.
const MIN_LIMIT: usize = 50_000;

/// How a run divides its rectangles, and the state of both limits.
#[derive(Debug)]
pub(super) struct Divisions<'a> {
    circles: &'a Circles,
    known: &'a Known,
    limit: usize,
    left: AtomicUsize,
    /// For each divided rectangle, the one sub-rectangle that has the count of the whole.
    as_many_as_the_whole: Mutex<BTreeMap<CellNo, CellNo>>,
}

impl<'a> Divisions<'a> {
    /// Restores the limits from the ledger of a run.
    pub(super) fn new(ledger: Ledger, circles: &'a Circles, known: &'a Known) -> Self {
        let limit = ledger.planned.saturating_mul(CELLS_FOR_ONE).max(MIN_LIMIT);
        Self {
            circles,
            known,
            limit,
            left: AtomicUsize::new(limit.saturating_sub(ledger.cells)),
            as_many_as_the_whole: Mutex::new(ledger.as_much_as_the_whole.into_iter().collect()),
        }
    }

    /// Whether a rectangle still overlaps the area of the run.
    pub(super) fn concern(&self, rect: Rect) -> bool {
        self.circles.touches(rect)
    }

    /// Checks the count of a truncated cell against the rectangle that it is a part of.
    ///
    /// # Errors
    /// When another part has the count of that rectangle already.
    pub(super) fn check_count(&self, cell: &Cell, total_count: u32) -> Result<(), String> {
        let Some(parent) = cell.parent.filter(|parent| total_count >= parent.total_count) else { return Ok(()) };
        let mut parts = self.as_many_as_the_whole.lock().unwrap_or_else(PoisonError::into_inner);
        let CellNo(first) = *parts.entry(parent.no).or_insert(cell.no);
        if first == cell.no.0 {
            return Ok(());
        }
        Err(format!(
            "it counts {total_count} places, as many as the rectangle that it is a part of, and so does cell {first}, which is \
             another part"
        ))
    }

    /// Learns where places of a rectangle are, for the division of others.
    pub(super) fn learn(&self, keyword: KeywordId, places: &[Place]) {
        self.known.add(keyword, places.iter().map(|place| place.position).collect());
    }

    /// The sub-rectangles of a truncated rectangle; none if it cannot be divided.
    pub(super) fn sub_rectangles(&self, keyword: KeywordId, rect: Rect, evidence: &Evidence) -> Vec<Rect> {
        let shown: Vec<LatLng> = evidence.places().iter().map(|place| place.position).collect();
        let crowd = self.known.crowd(keyword, rect, evidence.total_count(), &shown);
        self.circles.split(rect, crowd, &self.known.requests(keyword))
    }

    /// Reserves cells for the sub-rectangles of one cell.
    ///
    /// # Errors
    /// When the run would have too many cells.
    pub(super) fn reserve(&self, cells: usize) -> Result<(), String> {
        let reserved = self.left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(cells));
        let over_limit = |_| format!("{OVER_LIMIT} {} cells; this rectangle is not divided", self.limit);
        reserved.map(drop).map_err(over_limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cell::{CellArea, Parent};

    fn part(no: i32) -> Cell {
        let parent = Some(Parent { no: CellNo(1), total_count: 100 });
        Cell {
            no: CellNo(no),
            keyword: KeywordId(1),
            area: CellArea::Within(Rect::GLOBE),
            failures: 0,
            attempts: 0,
            parent,
        }
    }

    #[test]
    fn one_part_of_a_rectangle_may_count_as_much_as_the_whole() {
        let (circles, known) = (Circles::default(), Known::default());
        let divisions = |as_much_as_the_whole| {
            Divisions::new(Ledger { planned: 1, cells: 5, as_much_as_the_whole }, &circles, &known)
        };
        let new = divisions(Vec::new());

        assert_eq!(new.check_count(&part(2), 99), Ok(()));
        assert_eq!(new.check_count(&part(3), 100), Ok(()));
        assert!(new.check_count(&part(4), 100).unwrap_err().starts_with("it counts 100 places"));
        assert_eq!(new.check_count(&part(3), 120), Ok(()), "its second chance");
        let resumed = divisions(vec![(CellNo(1), CellNo(3))]);
        assert!(resumed.check_count(&part(4), 100).is_err());
    }

    #[test]
    fn a_run_has_a_limited_number_of_cells() {
        let (circles, known) = (Circles::default(), Known::default());
        let ledger = Ledger { planned: 676, cells: 49_990, as_much_as_the_whole: Vec::new() };
        let divisions = Divisions::new(ledger, &circles, &known);

        assert_eq!(divisions.reserve(10), Ok(()));
        let why = divisions.reserve(1).unwrap_err();
        assert_eq!(why, "the run has reached its limit of 50000 cells; this rectangle is not divided");
    }
}
