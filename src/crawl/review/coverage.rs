//! Computes how well each station is covered: from the cell around it, or from the rectangles that touch its circle.
//!
//! A place that was found before a rectangle was divided must be found again in a sub-rectangle. If it is not, the
//! sub-rectangle at its position does not count as complete.

use std::collections::{BTreeMap, BTreeSet};
use std::f64::consts::TAU;

use tracing::info;

use super::proven::Proven;
use crate::crawl::cover::Circles;
use crate::crawl::searches::Searches;
use crate::domain::cell::{CellArea, CellNo, Shown, failed_twice};
use crate::domain::geo::{Area, Circle, LatLng, Rect};
use crate::domain::keyword::KeywordId;
use crate::domain::run::RunId;
use crate::domain::station::StationId;
use crate::store::{self, Leaf, StationCoverage, Store};

/// Number of cells in which a keyword may find nothing. If it finds nothing in more, the API is considered faulty.
const BARREN_AFTER: usize = 20;

/// The rectangles of each keyword.
type Leaves = BTreeMap<KeywordId, Vec<(Rect, Leaf)>>;

/// What the cells of a run prove as a whole.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// The coverage of each station by each keyword.
    pub(super) coverage: Vec<StationCoverage>,
    /// Cells that lost places found before the division, with the number of these places.
    pub(super) doubted: BTreeMap<CellNo, i32>,
    /// The areas that were searched completely.
    pub(super) proven: Proven,
    /// Keywords that found nothing in more than [`BARREN_AFTER`] cells.
    pub(super) barren: BTreeSet<KeywordId>,
}

/// Evaluates the cells of a run without pending cells; `covered` are the stations in its scope. If the run reads the failed
/// cells of an earlier run again, the other cells of that run may count for the coverage of a station as well.
pub(super) async fn judge(
    store: &Store,
    (run, failed_cells_of): (RunId, Option<RunId>),
    searches: &Searches,
    covered: &[(StationId, LatLng)],
) -> Result<Judged, store::Error> {
    let mut judged = Judged::default();
    let mut leaves = Leaves::new();
    let cells = store.leaves(run).await?;
    judged.barren = barren(&cells);
    for leaf in cells {
        match leaf.area {
            CellArea::Within(rect) => leaves.entry(leaf.keyword).or_default().push((rect, leaf)),
            CellArea::Around(station) => {
                let Some(coverage) = around(station, &leaf) else { continue };
                judged.coverage.push(coverage);
                if let Some(circle) = searches.circle(station).filter(|_| coverage.is_complete) {
                    judged.proven.add(leaf.keyword, Area::Circle(circle));
                }
            }
        }
    }
    if leaves.is_empty() {
        return Ok(judged);
    }
    judged.doubted = doubt(&mut leaves, &store.lost_in_pieces(run).await?);
    let doubted = judged.doubted.len();
    if doubted > 0 {
        info!(cells = doubted, "{doubted} cells did not show what was found there before");
    }
    for (rect, leaf) in leaves.values().flatten().filter(|(_, leaf)| leaf.shown == Some(Shown::All)) {
        judged.proven.add(leaf.keyword, Area::Rect(*rect));
    }
    for leaf in earlier_leaves(store, failed_cells_of).await? {
        if let CellArea::Within(rect) = leaf.area {
            leaves.entry(leaf.keyword).or_default().push((rect, leaf));
        }
    }
    judged.coverage.extend(within(&leaves, covered, searches.radius_m));
    Ok(judged)
}

/// The cells of an earlier run that did not fail. They count only if its failed cells are all that was wrong with the run, and
/// it is the newest full run: otherwise its cells prove nothing, or a newer run has recorded the coverage.
async fn earlier_leaves(store: &Store, run: Option<RunId>) -> Result<Vec<Leaf>, store::Error> {
    let Some(run) = run else { return Ok(Vec::new()) };
    let is_newest = store.last_full_run().await? == Some(run);
    if !is_newest || store.reason_of(run).await? != Some(failed_twice(store.counts(run).await?.cells_failed)) {
        return Ok(Vec::new());
    }
    let leaves = store.leaves(run).await?;
    Ok(leaves.into_iter().filter(|leaf| leaf.shown.is_some()).collect())
}

/// Keywords that found nothing in more than [`BARREN_AFTER`] cells. Failed cells are not counted.
fn barren(leaves: &[Leaf]) -> BTreeSet<KeywordId> {
    let mut cells: BTreeMap<KeywordId, (usize, i32)> = BTreeMap::new();
    for leaf in leaves.iter().filter(|leaf| leaf.shown.is_some()) {
        let (count, places) = cells.entry(leaf.keyword).or_default();
        *count += 1;
        *places = places.saturating_add(leaf.places);
    }
    let is_barren = |(_, (count, places)): &(KeywordId, (usize, i32))| *count > BARREN_AFTER && *places == 0;
    cells.into_iter().filter(is_barren).map(|(keyword, _)| keyword).collect()
}

/// The coverage of a station by the cell around it; `None` if the cell failed.
fn around(station: StationId, leaf: &Leaf) -> Option<StationCoverage> {
    let shown = leaf.shown?;
    Some(StationCoverage {
        station,
        keyword: leaf.keyword,
        is_complete: shown == Shown::All,
        is_truncated: shown == Shown::Truncated,
        places: Some(leaf.places),
    })
}

/// Changes every rectangle that contains a lost place from complete to short. Returns the number of lost places per cell.
fn doubt(leaves: &mut Leaves, lost: &[(KeywordId, LatLng)]) -> BTreeMap<CellNo, i32> {
    let mut doubted = BTreeMap::new();
    for (keyword, position) in lost {
        let around = leaves.get_mut(keyword).into_iter().flatten().filter(|(rect, _)| rect.contains(*position));
        for (_, leaf) in around.filter(|(_, leaf)| leaf.shown.is_some()) {
            leaf.shown = leaf.shown.map(|shown| if shown == Shown::All { Shown::Short } else { shown });
            *doubted.entry(leaf.no).or_default() += 1;
        }
    }
    doubted
}

/// The coverage of stations by rectangles. A station is left out if its circle was not searched entirely, because it was
/// added or moved after the run began.
fn within(leaves: &Leaves, stations: &[(StationId, LatLng)], radius_m: u32) -> Vec<StationCoverage> {
    let mut coverage = Vec::new();
    for (station, center) in stations {
        let circle = Circle { center: *center, radius_m };
        let area = Circles::new([circle]);
        let rim: Vec<LatLng> = rim(circle).collect();
        for (keyword, leaves) in leaves {
            let touching: Vec<_> = leaves.iter().filter(|(rect, _)| area.touches(*rect)).collect();
            let is_searched = |position: &LatLng| touching.iter().any(|(rect, _)| rect.contains(*position));
            let shows = |shown| touching.iter().any(|(_, leaf)| leaf.shown == shown);
            // If the only flaw is a failed rectangle, nothing is known, as with a failed cell around a station.
            let is_told = !shows(None) || shows(Some(Shown::Short)) || shows(Some(Shown::Truncated));
            if is_told && rim.iter().all(is_searched) {
                coverage.push(StationCoverage {
                    station: *station,
                    keyword: *keyword,
                    is_complete: touching.iter().all(|(_, leaf)| leaf.shown == Some(Shown::All)),
                    is_truncated: shows(Some(Shown::Truncated)),
                    places: None,
                });
            }
        }
    }
    coverage
}

/// The centre of a circle and 64 positions on its rim, including the northernmost, easternmost, southernmost and westernmost.
fn rim(circle: Circle) -> impl Iterator<Item = LatLng> {
    const POSITIONS: u32 = 64;
    let (latitude, longitude) = (circle.center.latitude(), circle.center.longitude());
    let radius_m = f64::from(circle.radius_m);
    let (south_north, east_west) = circle.center.metres_per_degree(radius_m);
    (0..POSITIONS)
        .map(move |step| (f64::from(step) * TAU / f64::from(POSITIONS)).sin_cos())
        .chain([(0.0, 0.0)])
        .filter_map(move |(north, east)| {
            LatLng::new(latitude + north * radius_m / south_north, longitude + east * radius_m / east_west).ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(no: i32, west: f64, shown: Shown) -> (Rect, Leaf) {
        let rect = Rect { west, south: 37.49, east: west + 0.1, north: 37.51 };
        let area = CellArea::Within(rect);
        (rect, Leaf { no: CellNo(no), keyword: KeywordId(1), area, shown: Some(shown), places: 0 })
    }

    #[test]
    fn a_station_is_covered_as_well_as_the_worst_rectangle_that_touches_its_circle() {
        let at = |longitude| LatLng::new(37.5, longitude).unwrap();
        let leaves = vec![leaf(1, 126.9, Shown::All), leaf(2, 127.0, Shown::Truncated), leaf(3, 127.1, Shown::Short)];
        let stations = [126.95, 127.0, 127.05, 127.15, 127.199, 128.0].map(|longitude| (StationId(0), at(longitude)));

        let coverage = within(&Leaves::from([(KeywordId(1), leaves)]), &stations, 1000);

        let told: Vec<_> = coverage.iter().map(|one| (one.is_complete, one.is_truncated)).collect();
        let expected = [(true, false), (false, true), (false, true), (false, false)];
        assert_eq!(told, expected, "the last two lie partly, or wholly, where nothing was searched");
    }

    #[test]
    fn a_piece_that_lost_what_was_seen_before_proves_nothing() {
        let mut leaves = Leaves::from([(KeywordId(1), vec![leaf(1, 126.9, Shown::All), leaf(2, 127.1, Shown::All)])]);
        let seen = LatLng::new(37.5, 126.95).unwrap();

        let doubted = doubt(&mut leaves, &[(KeywordId(1), seen), (KeywordId(1), seen), (KeywordId(2), seen)]);

        assert_eq!(doubted, BTreeMap::from([(CellNo(1), 2)]));
        assert_eq!(
            leaves[&KeywordId(1)].iter().map(|(_, leaf)| leaf.shown).collect::<Vec<_>>(),
            [Some(Shown::Short), Some(Shown::All)]
        );
    }
}
