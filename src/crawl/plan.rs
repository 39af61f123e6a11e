//! Plans the cells of a run.

use std::collections::BTreeSet;

use super::cover::Circles;
use super::known::Known;
use crate::domain::cell::CellArea;
use crate::domain::geo::Circle;
use crate::domain::inventory::Inventory;
use crate::domain::keyword::{Keyword, StoredKeyword};
use crate::domain::run::{RunId, Scope};
use crate::domain::station::{Station, StationId, StoredStation, recognise};
use crate::store::PlannedCell;

/// Why a run cannot be planned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No station has this name; the second field lists similar names.
    #[error("no station is called {0:?}{hint}", hint = hint(.1))]
    UnknownStation(String, Vec<String>),
    /// This keyword is not configured; the second field lists those that are.
    #[error("{0:?} is not a configured keyword; the keywords are {keywords}", keywords = .1.join(", "))]
    UnknownKeyword(String, Vec<String>),
    /// There are no stations or no keywords.
    #[error("there is nothing to crawl: no stations or no keywords")]
    Empty,
    /// There is no such run, or it was skipped.
    #[error("there is no run {0} with cells; `sanggwond runs` shows those that are kept")]
    UnknownRun(RunId),
    /// The run has no failed cells.
    #[error("run {0} has no failed cells to read again, or its cells are no longer kept")]
    NoFailedCells(RunId),
    /// The run had another radius.
    #[error(
        "run {run} searched within {of_run_m} m, and the places are now listed within {now_m} m; start a full run instead"
    )]
    OtherRadius {
        /// The run.
        run: RunId,
        /// Its radius in metres.
        of_run_m: u32,
        /// The radius of the listings in metres.
        now_m: u32,
    },
}

fn hint(similar: &[String]) -> String {
    if similar.is_empty() { String::new() } else { format!("; did you mean {}?", similar.join(", ")) }
}

/// The stations and keywords of a run.
#[derive(Clone, Debug, Default)]
pub struct Selection<'a> {
    /// The stations.
    pub stations: Vec<&'a StoredStation>,
    /// The keywords.
    pub keywords: Vec<&'a StoredKeyword>,
}

impl<'a> Selection<'a> {
    /// Selects the stations and keywords in a scope.
    ///
    /// # Errors
    /// When the scope names an unknown station or keyword, or the selection is empty.
    pub fn new(stations: &'a [StoredStation], keywords: &'a [StoredKeyword], scope: &Scope) -> Result<Self, Error> {
        let names = named(stations.iter().map(|stored| stored.station.name.as_str()), scope)?;
        require_keywords(keywords.iter().map(|stored| &stored.keyword), scope)?;
        let is_wanted =
            |stored: &&StoredStation| names.as_ref().is_none_or(|names| names.contains(stored.station.name.as_str()));
        let selection = Self {
            stations: stations.iter().filter(is_wanted).collect(),
            keywords: keywords.iter().filter(|stored| is_in_scope(&stored.keyword, scope)).collect(),
        };
        if selection.stations.is_empty() || selection.keywords.is_empty() { Err(Error::Empty) } else { Ok(selection) }
    }

    /// Selects the stored stations and keywords that are in an inventory.
    ///
    /// # Errors
    /// When the selection is empty.
    pub fn of(
        stations: &'a [StoredStation],
        keywords: &'a [StoredKeyword],
        inventory: &Inventory,
    ) -> Result<Self, Error> {
        let ids: BTreeSet<StationId> = recognise(stations, &inventory.stations).into_iter().flatten().collect();
        let queries: BTreeSet<&str> = inventory.keywords.iter().map(Keyword::query).collect();
        let selection = Self {
            stations: stations.iter().filter(|stored| ids.contains(&stored.id)).collect(),
            keywords: keywords.iter().filter(|stored| queries.contains(stored.keyword.query())).collect(),
        };
        if selection.stations.is_empty() || selection.keywords.is_empty() { Err(Error::Empty) } else { Ok(selection) }
    }

    /// One cell for each keyword around each station, ordered by station.
    #[must_use]
    pub fn around_stations(&self) -> Vec<PlannedCell> {
        let around = |stored: &&StoredStation| CellArea::Around(stored.id);
        let cells = self.stations.iter().map(around);
        let planned =
            |area| self.keywords.iter().map(move |known| PlannedCell { keyword: known.id, area, parent: None });
        cells.flat_map(planned).collect()
    }

    /// The rectangles of each keyword that cover the area around all stations, ordered by keyword.
    #[must_use]
    pub fn in_rectangles(&self, radius_m: u32, known: &Known) -> Vec<PlannedCell> {
        let circles = self.circles(radius_m);
        let rects = |stored: &&StoredKeyword| {
            let keyword = stored.id;
            let rects = circles.cover(known.of(keyword), &known.requests(keyword));
            rects.into_iter().map(move |rect| PlannedCell { keyword, area: CellArea::Within(rect), parent: None })
        };
        self.keywords.iter().flat_map(rects).collect()
    }

    /// The area around the stations.
    #[must_use]
    pub fn circles(&self, radius_m: u32) -> Circles {
        Circles::new(self.stations.iter().map(|stored| Circle { center: stored.station.position, radius_m }))
    }
}

/// Limits an inventory to a scope.
///
/// # Errors
/// When the scope names an unknown station or keyword, or nothing is left.
pub fn part(inventory: &Inventory, scope: &Scope) -> Result<Inventory, Error> {
    let names = named(inventory.stations.iter().map(|station| station.name.as_str()), scope)?;
    require_keywords(inventory.keywords.iter(), scope)?;
    let is_wanted = |station: &&Station| names.as_ref().is_none_or(|names| names.contains(station.name.as_str()));
    let stations: Vec<Station> = inventory.stations.iter().filter(is_wanted).cloned().collect();
    let keywords: Vec<Keyword> =
        inventory.keywords.iter().filter(|keyword| is_in_scope(keyword, scope)).cloned().collect();
    if stations.is_empty() || keywords.is_empty() {
        return Err(Error::Empty);
    }
    Ok(Inventory { stations, keywords, radius_m: inventory.radius_m })
}

fn require_keywords<'a>(known: impl Iterator<Item = &'a Keyword> + Clone, scope: &Scope) -> Result<(), Error> {
    match scope.keywords.iter().find(|query| known.clone().all(|keyword| keyword.query() != *query)) {
        Some(query) => Err(Error::UnknownKeyword(query.clone(), known.map(ToString::to_string).collect())),
        None => Ok(()),
    }
}

fn is_in_scope(keyword: &Keyword, scope: &Scope) -> bool {
    scope.keywords.is_empty() || scope.keywords.iter().any(|query| query == keyword.query())
}

/// The station names in a scope; `None`: all. The suffix 역 may be omitted, and several stations may have the same name.
fn named<'a>(known: impl Iterator<Item = &'a str>, scope: &Scope) -> Result<Option<BTreeSet<&'a str>>, Error> {
    if scope.stations.is_empty() {
        return Ok(None);
    }
    let known: BTreeSet<&str> = known.collect();
    let find = |name: &String| {
        let with_suffix = format!("{name}역");
        known.get(name.as_str()).or_else(|| known.get(with_suffix.as_str())).copied().ok_or_else(|| {
            let stem = name.trim_end_matches('역');
            let is_similar = |known: &&&str| !stem.is_empty() && known.contains(stem);
            let similar = known.iter().filter(is_similar).take(5).map(|name| (*name).to_owned()).collect();
            Error::UnknownStation(name.clone(), similar)
        })
    };
    scope.stations.iter().map(find).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geo::LatLng;
    use crate::domain::keyword::KeywordId;

    fn station(id: i32, name: &str) -> StoredStation {
        let position = LatLng::new(37.5, 127.0).unwrap();
        let station = Station { name: name.to_owned(), region: String::new(), lines: Vec::new(), position };
        StoredStation { id: StationId(id), station, is_retired: false }
    }

    fn keyword(id: i32, query: &str) -> StoredKeyword {
        StoredKeyword { id: KeywordId(id), keyword: Keyword::new(query, None).unwrap(), is_retired: false }
    }

    fn planned(stations: &[&str], keywords: &[&str]) -> Result<Vec<(i32, i32)>, Error> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let known = [station(1, "신촌역"), station(2, "신촌역"), station(3, "서울역")];
        let scope = Scope { stations: own(stations), keywords: own(keywords), failed_cells_of: None };
        let keywords = [keyword(1, "카페"), keyword(2, "공원")];
        let cells = Selection::new(&known, &keywords, &scope)?.around_stations();
        let station = |area| match area {
            CellArea::Around(StationId(station)) => station,
            CellArea::Within(rect) => panic!("{rect:?}"),
        };
        Ok(cells.into_iter().map(|cell| (station(cell.area), cell.keyword.0)).collect())
    }

    #[test]
    fn every_keyword_is_searched_around_every_station() {
        assert_eq!(planned(&[], &[]).unwrap(), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]);
    }

    #[test]
    fn a_scope_limits_both_and_a_name_means_all_its_stations() {
        assert_eq!(planned(&["신촌"], &["공원"]).unwrap(), [(1, 2), (2, 2)]);
        assert_eq!(planned(&["서울역"], &[]).unwrap(), [(3, 1), (3, 2)]);
    }

    #[test]
    fn what_is_not_there_is_said_with_what_is() {
        assert_eq!(planned(&["서울대역"], &[]).unwrap_err().to_string(), "no station is called \"서울대역\"");
        assert_eq!(planned(&["촌"], &[]).unwrap_err().to_string(), "no station is called \"촌\"; did you mean 신촌역?");
        assert!(planned(&[], &["술집"]).unwrap_err().to_string().ends_with("the keywords are 카페, 공원"));
    }

    #[test]
    fn rectangles_cover_a_keyword_after_the_other() {
        let known = [station(1, "신촌역"), station(2, "서울역")];
        let keywords = [keyword(1, "카페"), keyword(2, "공원")];

        let cells =
            Selection::new(&known, &keywords, &Scope::default()).unwrap().in_rectangles(1000, &Known::default());

        assert_eq!(
            cells.iter().map(|cell| cell.keyword.0).collect::<Vec<_>>(),
            [1, 2],
            "both stations are at one place"
        );
    }

    #[test]
    fn an_empty_plan_is_an_error() {
        assert_eq!(Selection::new(&[], &[keyword(1, "카페")], &Scope::default()).unwrap_err(), Error::Empty);
    }
}
