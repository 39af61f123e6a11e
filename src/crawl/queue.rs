//! The cells that wait for their turn. Those with the most expected pages go first.
//!
//! A cell of three pages takes at least two page delays. If such cells were among the last, hardly a request would be in
//! flight while they wait. Therefore the last cells should be those of one page.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use super::known::Known;
use crate::domain::cell::{Cell, CellArea, CellNo, PAGE_SIZE};
use crate::domain::keyword::KeywordId;
use crate::domain::station::StationId;

/// Maximum number of pages of an area that is not divided.
const MAX_PAGES: u32 = 3;

/// The number of pages of each station and keyword in the last run.
pub(super) type PagesBefore = BTreeMap<(StationId, KeywordId), u32>;

/// What is known about the number of pages before a cell is read.
#[derive(Debug)]
pub(super) struct Forecast<'a> {
    before: PagesBefore,
    known: &'a Known,
}

impl<'a> Forecast<'a> {
    pub(super) fn new(before: PagesBefore, known: &'a Known) -> Self {
        Self { before, known }
    }

    /// The expected number of pages of a cell: those that the last run read around the station, or those of the known
    /// positions in the rectangle. One more than a search can have if the rectangle will be divided, because more cells
    /// follow. `None` if nothing is known.
    fn pages(&self, cell: &Cell) -> Option<u32> {
        let rect = match cell.area {
            CellArea::Around(station) => return self.before.get(&(station, cell.keyword)).copied(),
            CellArea::Within(rect) => rect,
        };
        if !self.known.has(cell.keyword) {
            return None;
        }
        let known = u32::try_from(self.known.within(cell.keyword, rect).len()).unwrap_or(u32::MAX);
        // A sub-rectangle is planned to be full, although most of its places may be unknown.
        let least = if cell.parent.is_some() { MAX_PAGES } else { 1 };
        Some(known.div_ceil(PAGE_SIZE).clamp(least, MAX_PAGES + 1))
    }
}

/// The cells that wait for their turn.
#[derive(Debug)]
pub(super) struct Queue<'a> {
    forecast: &'a Forecast<'a>,
    /// Cells with a forecast, by the number of their pages.
    foreseen: BTreeMap<(Reverse<u32>, CellNo), Cell>,
    /// Cells without a forecast. They are as long as the cells of their keyword that were read, on average.
    unforeseen: BTreeMap<KeywordId, Unforeseen>,
}

#[derive(Debug, Default)]
struct Unforeseen {
    cells: VecDeque<Cell>,
    read_cells: u32,
    read_pages: u32,
}

impl Unforeseen {
    /// The average number of pages; the maximum if no cell of the keyword was read yet.
    fn pages(&self) -> f64 {
        if self.read_cells == 0 { MAX_PAGES.into() } else { f64::from(self.read_pages) / f64::from(self.read_cells) }
    }
}

impl<'a> Queue<'a> {
    /// An empty queue.
    pub(super) fn new(forecast: &'a Forecast<'a>) -> Self {
        Self { forecast, foreseen: BTreeMap::new(), unforeseen: BTreeMap::new() }
    }

    /// Adds cells.
    pub(super) fn extend(&mut self, cells: impl IntoIterator<Item = Cell>) {
        for cell in cells {
            match self.forecast.pages(&cell) {
                Some(pages) => drop(self.foreseen.insert((Reverse(pages), cell.no), cell)),
                None => self.unforeseen.entry(cell.keyword).or_default().cells.push_back(cell),
            }
        }
    }

    /// Learns from a cell that was read how long the cells of its keyword are.
    pub(super) fn learn(&mut self, keyword: KeywordId, pages: u32) {
        if let Some(keyword) = self.unforeseen.get_mut(&keyword) {
            keyword.read_cells += 1;
            keyword.read_pages += pages;
        }
    }

    /// Takes the cell with the most expected pages.
    pub(super) fn next(&mut self) -> Option<Cell> {
        let waiting = self.unforeseen.iter().filter(|(_, keyword)| !keyword.cells.is_empty());
        let longest = waiting.max_by(|(_, a), (_, b)| a.pages().total_cmp(&b.pages()));
        let longest = longest.map(|(keyword, unforeseen)| (*keyword, unforeseen.pages()));
        let foreseen = self.foreseen.first_key_value().map(|((Reverse(pages), _), _)| f64::from(*pages));
        match longest {
            Some((keyword, pages)) if foreseen.is_none_or(|foreseen| foreseen < pages) => {
                self.unforeseen.get_mut(&keyword)?.cells.pop_front()
            }
            _ => self.foreseen.pop_first().map(|(_, cell)| cell),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.foreseen.is_empty() && self.unforeseen.values().all(|keyword| keyword.cells.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(no: i32, keyword: i32) -> Cell {
        let area = CellArea::Around(StationId(no));
        Cell { no: CellNo(no), keyword: KeywordId(keyword), area, failures: 0, attempts: 0, parent: None }
    }

    fn rest(queue: &mut Queue<'_>) -> Vec<i32> {
        std::iter::from_fn(|| queue.next()).map(|cell| cell.no.0).collect()
    }

    #[test]
    fn cells_with_more_pages_in_the_last_run_go_first() {
        let known = Known::default();
        let pages = [(1, 1), (2, 3), (3, 2), (4, 3)];
        let before = pages.map(|(station, pages)| ((StationId(station), KeywordId(1)), pages));
        let forecast = Forecast::new(before.into(), &known);
        let mut queue = Queue::new(&forecast);

        queue.extend((1..=4).map(|no| cell(no, 1)));

        assert_eq!(rest(&mut queue), [2, 4, 3, 1]);
    }

    #[test]
    fn without_a_last_run_the_keyword_with_the_longer_cells_goes_first() {
        let known = Known::default();
        let forecast = Forecast::new(PagesBefore::new(), &known);
        let mut queue = Queue::new(&forecast);
        queue.extend([cell(1, 1), cell(2, 2), cell(3, 1), cell(4, 2)]);

        let [first, second] = [queue.next().unwrap(), queue.next().unwrap()];
        queue.learn(KeywordId(1), 1);
        queue.learn(KeywordId(2), 3);

        assert_eq!([first.no.0, second.no.0], [2, 4], "no keyword is known yet");
        queue.extend([cell(5, 2), cell(6, 1)]);
        assert_eq!(rest(&mut queue), [5, 1, 3, 6]);
        assert!(queue.is_empty());
    }
}
