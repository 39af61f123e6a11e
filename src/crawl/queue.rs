//! The cells that wait for their turn. Those with the most expected pages go first.
//!
//! A cell of three pages takes at least two page delays. If such cells were among the last, hardly a request would be in
//! flight while they wait. Therefore the last cells should be those of one page.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use super::cover;
use super::known::Known;
use crate::domain::cell::{Cell, CellArea, CellNo, PAGE_SIZE};
use crate::domain::keyword::KeywordId;
use crate::domain::station::StationId;

/// Maximum number of pages of an area that is not divided.
const MAX_PAGES: u32 = 3;

/// Number of known places per station from which the rectangles of any keyword are divided well enough. Until then, a first run
/// reads one keyword after the other, the rarest first: its few rectangles tell where places are, and those of the next are
/// divided accordingly.
const ENOUGH_PER_STATION: usize = 40;

/// The number of pages of each station and keyword in the last run.
pub(super) type PagesBefore = BTreeMap<(StationId, KeywordId), u32>;

/// What is known about the number of pages before a cell is read.
#[derive(Debug)]
pub(super) struct Forecast<'a> {
    before: PagesBefore,
    known: &'a Known,
    /// Number of stations of the run.
    stations: usize,
}

impl<'a> Forecast<'a> {
    pub(super) fn new(before: PagesBefore, known: &'a Known, stations: usize) -> Self {
        Self { before, known, stations }
    }

    /// Whether enough places are known to divide the rectangles of any keyword.
    fn knows_enough(&self) -> bool {
        self.known.count() >= ENOUGH_PER_STATION * self.stations
    }

    /// The expected number of pages of a cell: those that the last run read around the station, or those of the known
    /// positions in the rectangle. One more than a search can have if the rectangle will be divided, because more cells
    /// follow. Two more if it is too small to be divided: if it holds too much, its places are searched for one after the
    /// other in a dozen ways, which takes longest. `None` if nothing is known.
    fn pages(&self, cell: &Cell) -> Option<u32> {
        let rect = match cell.area {
            CellArea::Around(station) => return self.before.get(&(station, cell.keyword)).copied(),
            CellArea::Within(rect) => rect,
        };
        if cover::is_tiny(rect) {
            return Some(MAX_PAGES + 2);
        }
        if !self.known.has(cell.keyword) {
            return None;
        }
        let known = u32::try_from(self.known.within(cell.keyword, rect).len()).unwrap_or(u32::MAX);
        // A sub-rectangle is planned to be full, although most of its places may be unknown.
        let least = if cell.parent.is_some() { MAX_PAGES } else { 1 };
        Some(known.div_ceil(PAGE_SIZE).clamp(least, MAX_PAGES + 1))
    }
}

/// What the reading of a cell showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Number of matches that the API counted.
    pub(super) total_count: u32,
    /// Number of pages; `None` if the cell was divided.
    pub(super) pages: Option<u32>,
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
    /// Whether one of its cells was taken.
    has_begun: bool,
    /// The cells that were not divided, and their pages.
    whole: Tally,
    /// The planned cells, divided or not, and the matches that the API counted in them.
    planned: Tally,
}

/// A number of cells, and a sum over them.
#[derive(Debug, Default)]
struct Tally {
    cells: u32,
    sum: f64,
}

impl Tally {
    fn add(&mut self, number: u32) {
        self.cells += 1;
        self.sum += f64::from(number);
    }

    /// The average; `None` without a cell.
    fn average(&self) -> Option<f64> {
        (self.cells > 0).then(|| self.sum / f64::from(self.cells))
    }
}

impl Unforeseen {
    /// Whether its cells are rectangles; all cells of a keyword are of one kind.
    fn has_rectangles(&self) -> bool {
        matches!(self.cells.front(), Some(Cell { area: CellArea::Within(_), .. }))
    }

    /// The average number of pages; the maximum if no cell of the keyword was read yet.
    fn pages(&self) -> f64 {
        self.whole.average().unwrap_or(MAX_PAGES.into())
    }

    /// How common the keyword is. One of which nothing was counted yet comes first for its first cell, and last after that.
    fn commonness(&self) -> f64 {
        let unknown = if self.has_begun { f64::INFINITY } else { f64::NEG_INFINITY };
        self.planned.average().unwrap_or(unknown)
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

    /// Learns from a cell that was read how common its keyword is, and how long its cells are.
    pub(super) fn learn(&mut self, cell: &Cell, read: Read) {
        let Some(keyword) = self.unforeseen.get_mut(&cell.keyword) else { return };
        if cell.parent.is_none() {
            keyword.planned.add(read.total_count);
        }
        if let Some(pages) = read.pages {
            keyword.whole.add(pages);
        }
    }

    /// Takes the cell with the most expected pages.
    pub(super) fn next(&mut self) -> Option<Cell> {
        let unforeseen = self.next_keyword().map(|(keyword, unforeseen)| (keyword, unforeseen.pages()));
        let foreseen = self.foreseen.first_key_value().map(|((Reverse(pages), _), _)| f64::from(*pages));
        match unforeseen {
            Some((keyword, pages)) if foreseen.is_none_or(|foreseen| foreseen < pages) => {
                let keyword = self.unforeseen.get_mut(&keyword)?;
                keyword.has_begun = true;
                keyword.cells.pop_front()
            }
            _ => self.foreseen.pop_first().map(|(_, cell)| cell),
        }
    }

    /// The keyword whose cells without a forecast go next.
    fn next_keyword(&self) -> Option<(KeywordId, &Unforeseen)> {
        let waiting = || self.unforeseen.iter().filter(|(_, keyword)| !keyword.cells.is_empty());
        let rarest = || {
            let rectangles = waiting().filter(|(_, keyword)| keyword.has_rectangles());
            rectangles.min_by(|(_, a), (_, b)| a.commonness().total_cmp(&b.commonness()))
        };
        let longest = || waiting().max_by(|(_, a), (_, b)| a.pages().total_cmp(&b.pages()));
        let next = if self.forecast.knows_enough() { longest() } else { rarest().or_else(longest) };
        next.map(|(keyword, unforeseen)| (*keyword, unforeseen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geo::{LatLng, Rect};
    use crate::store::KnownPlaces;

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
        let forecast = Forecast::new(before.into(), &known, 4);
        let mut queue = Queue::new(&forecast);

        queue.extend((1..=4).map(|no| cell(no, 1)));

        assert_eq!(rest(&mut queue), [2, 4, 3, 1]);
    }

    #[test]
    fn without_a_last_run_the_keyword_with_the_longer_cells_goes_first() {
        let known = Known::default();
        let forecast = Forecast::new(PagesBefore::new(), &known, 2);
        let mut queue = Queue::new(&forecast);
        queue.extend([cell(1, 1), cell(2, 2), cell(3, 1), cell(4, 2)]);

        let [first, second] = [queue.next().unwrap(), queue.next().unwrap()];
        queue.learn(&cell(1, 1), Read { total_count: 9, pages: Some(1) });
        queue.learn(&cell(2, 2), Read { total_count: 45, pages: Some(3) });

        assert_eq!([first.no.0, second.no.0], [2, 4], "no keyword is known yet");
        queue.extend([cell(5, 2), cell(6, 1)]);
        assert_eq!(rest(&mut queue), [5, 1, 3, 6]);
    }

    #[test]
    fn a_first_run_reads_one_keyword_after_the_other_from_the_rarest_on_until_enough_is_known() {
        let rectangle = |no, keyword| Cell { area: CellArea::Within(Rect::GLOBE), ..cell(no, keyword) };
        let known = Known::default();
        let forecast = Forecast::new(PagesBefore::new(), &known, 1);
        let mut queue = Queue::new(&forecast);
        queue.extend([rectangle(1, 1), rectangle(2, 1), rectangle(3, 2), rectangle(4, 2), rectangle(5, 2)]);

        let probes = [queue.next().unwrap(), queue.next().unwrap()];
        queue.learn(&probes[0], Read { total_count: 900, pages: None });
        queue.learn(&probes[1], Read { total_count: 30, pages: Some(2) });

        assert_eq!(probes.map(|cell| cell.no.0), [1, 3], "one cell of each shows how common the keyword is");
        assert_eq!(queue.next().unwrap().no.0, 4);
        known.add(KeywordId(2), vec![LatLng::new(37.5, 127.0).unwrap(); ENOUGH_PER_STATION]);
        assert_eq!(rest(&mut queue), [2, 5], "with enough known, the longest cells go first");
    }

    #[test]
    fn rectangles_too_small_to_be_divided_go_first() {
        let at = LatLng::new(37.5, 127.0).unwrap();
        let rectangle = |no, rect| Cell { area: CellArea::Within(rect), ..cell(no, 1) };
        let positions = [(KeywordId(1), vec![at; 50])].into();
        let known = Known::new(KnownPlaces { positions, churn: BTreeMap::new() });
        let forecast = Forecast::new(PagesBefore::new(), &known, 1);
        let mut queue = Queue::new(&forecast);

        queue.extend([rectangle(1, Rect::GLOBE), rectangle(2, Rect::at(LatLng::new(37.6, 127.0).unwrap()))]);

        assert_eq!(rest(&mut queue), [2, 1]);
    }
}
