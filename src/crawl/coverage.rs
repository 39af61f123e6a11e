//! How well each station is covered, told from the rectangles that touch its circle.
//!
//! What was found before a rectangle was divided must turn up in its pieces: a piece that did not show it again proves
//! nothing.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use tracing::info;

use super::Crawl;
use super::cover::Circles;
use crate::clock;
use crate::domain::cell::{CellNo, Shown};
use crate::domain::geo::{Circle, LatLng};
use crate::domain::keyword::KeywordId;
use crate::domain::station::StationId;
use crate::store::{self, Leaf, StationCoverage};

/// The rectangles of each keyword.
type Leaves = BTreeMap<KeywordId, Vec<Leaf>>;

/// Records the coverage of a run that is through. Around stations every cell has done so itself.
pub(super) async fn record<A>(crawl: &Crawl<'_, A>) -> Result<(), store::Error> {
    let run = crawl.fence.run;
    let mut leaves = Leaves::new();
    for leaf in crawl.store.leaves(run).await? {
        leaves.entry(leaf.keyword).or_default().push(leaf);
    }
    if leaves.is_empty() {
        return Ok(());
    }
    let doubted = doubt(&mut leaves, &crawl.store.lost_in_pieces(run).await?);
    if !doubted.is_empty() {
        info!(run.id = %run, cells = doubted.len(), "{} cells did not show what was found there before", doubted.len());
    }
    let radius_m = crawl.ground.map.radius_m();
    let coverage = judge(&leaves, &crawl.ground.covered, radius_m);
    crawl.store.record_coverage(crawl.fence, (radius_m, &coverage), &doubted, clock::now()).await
}

/// Takes its proof from every rectangle in which something was lost; returns them with how many places each.
fn doubt(leaves: &mut Leaves, lost: &[(KeywordId, LatLng)]) -> BTreeMap<CellNo, i32> {
    let mut doubted = BTreeMap::new();
    for (keyword, position) in lost {
        let around = leaves.get_mut(keyword).into_iter().flatten().filter(|leaf| leaf.rect.contains(*position));
        for leaf in around.filter(|leaf| leaf.shown.is_some()) {
            leaf.shown = leaf.shown.map(|shown| if shown == Shown::All { Shown::Short } else { shown });
            *doubted.entry(leaf.no).or_default() += 1;
        }
    }
    doubted
}

/// Judges the stations whose whole circle was searched: one that came, or moved, since the run began was not.
fn judge(leaves: &Leaves, stations: &[(StationId, LatLng)], radius_m: u32) -> Vec<StationCoverage> {
    let mut coverage = Vec::new();
    for (station, center) in stations {
        let circle = Circle { center: *center, radius_m };
        let ground = Circles::new([circle]);
        let rim: Vec<LatLng> = rim(circle).collect();
        for (keyword, leaves) in leaves {
            let touching: Vec<&Leaf> = leaves.iter().filter(|leaf| ground.touches(leaf.rect)).collect();
            let is_searched = |position: &LatLng| touching.iter().any(|leaf| leaf.rect.contains(*position));
            if rim.iter().all(is_searched) {
                coverage.push(StationCoverage {
                    station: *station,
                    keyword: *keyword,
                    is_complete: touching.iter().all(|leaf| leaf.shown == Some(Shown::All)),
                    is_cut_off: touching.iter().any(|leaf| leaf.shown == Some(Shown::Truncated)),
                });
            }
        }
    }
    coverage
}

/// The centre of a circle and positions on its rim, the four outermost among them.
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
    use crate::domain::geo::Rect;

    fn leaf(no: i32, west: f64, shown: Shown) -> Leaf {
        let rect = Rect { west, south: 37.49, east: west + 0.1, north: 37.51 };
        Leaf { no: CellNo(no), keyword: KeywordId(1), rect, shown: Some(shown) }
    }

    #[test]
    fn a_station_is_covered_as_well_as_the_worst_rectangle_that_touches_its_circle() {
        let at = |longitude| LatLng::new(37.5, longitude).unwrap();
        let leaves = vec![leaf(1, 126.9, Shown::All), leaf(2, 127.0, Shown::Truncated), leaf(3, 127.1, Shown::Short)];
        let stations = [126.95, 127.0, 127.05, 127.15, 127.199, 128.0].map(|longitude| (StationId(0), at(longitude)));

        let coverage = judge(&Leaves::from([(KeywordId(1), leaves)]), &stations, 1000);

        let told: Vec<_> = coverage.iter().map(|one| (one.is_complete, one.is_cut_off)).collect();
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
            leaves[&KeywordId(1)].iter().map(|leaf| leaf.shown).collect::<Vec<_>>(),
            [Some(Shown::Short), Some(Shown::All)]
        );
    }
}
