//! Merges the rows of a station file into stations. Rows with the same name belong to one station if they are connected by
//! distances of at most 500 m.
//!
//! Comparing all pairs of rows would take minutes for 20,000 rows. Therefore the rows with the same name are put into the
//! buckets of a grid. The diagonal of a bucket is at most 500 m, so all its rows belong together, and only nearby buckets are
//! compared with each other.

use std::collections::BTreeMap;

use super::{Platform, SAME_STATION_M, Station};
use crate::domain::geo::{LatLng, Rect};
use crate::domain::grid::Grid;

/// The side of a bucket in metres; its diagonal is slightly shorter than 500 m.
const BUCKET_M: f64 = 350.0;

/// The maximum ratio of a distance on a plane to the one on the ellipsoid, within a few kilometres.
const SLACK: f64 = 1.005;

/// Merges rows into stations.
///
/// The result does not depend on the order of the rows.
#[must_use]
pub fn merge(platforms: Vec<Platform>) -> Vec<Station> {
    let mut by_name: BTreeMap<String, Vec<Platform>> = BTreeMap::new();
    for platform in platforms {
        by_name.entry(platform.name.clone()).or_default().push(platform);
    }
    by_name.into_values().flat_map(clusters).map(merge_cluster).collect()
}

/// Groups the platforms with the same name by distance. They are sorted first, so that the result does not depend on their
/// order.
fn clusters(mut platforms: Vec<Platform>) -> Vec<Vec<Platform>> {
    platforms.sort_by(|a, b| {
        let degrees = |p: &Platform| (p.position.latitude(), p.position.longitude());
        degrees(a).0.total_cmp(&degrees(b).0).then(degrees(a).1.total_cmp(&degrees(b).1)).then(a.line.cmp(&b.line))
    });
    let positions: Vec<LatLng> = platforms.iter().map(|platform| platform.position).collect();
    let mut sets = Sets::new(positions.len());
    let grid = Grid::new(positions.iter().copied().enumerate(), BUCKET_M);
    let at = |bucket: &[usize]| bucket.iter().map(|number| positions[*number]).collect::<Vec<_>>();
    for bucket in grid.buckets() {
        for number in bucket {
            sets.join(bucket[0], *number);
        }
        let Some(hull) = Rect::around(at(bucket)) else { continue };
        for other in grid.near(hull, f64::from(SAME_STATION_M)) {
            if !sets.are_joined(bucket[0], other[0]) && is_any_near(&mut at(bucket), &mut at(other)) {
                sets.join(bucket[0], other[0]);
            }
        }
    }
    let mut clusters: BTreeMap<usize, Vec<Platform>> = BTreeMap::new();
    for (number, platform) in platforms.into_iter().enumerate() {
        clusters.entry(sets.root(number)).or_default().push(platform);
    }
    clusters.into_values().collect()
}

/// Whether a position of one list lies within 500 m of a position of the other.
///
/// The lists are divided until the bounding rectangles of two parts decide it, so that only pairs about 500 m apart are
/// measured.
fn is_any_near(one: &mut [LatLng], other: &mut [LatLng]) -> bool {
    let (Some(first), Some(second)) = (Rect::around(one.iter().copied()), Rect::around(other.iter().copied())) else {
        return false;
    };
    let within_m = f64::from(SAME_STATION_M);
    if at_least_m(first, second) > within_m * SLACK {
        return false;
    }
    let both = first.hull(second);
    if both.height_m().hypot(both.width_m()) <= within_m {
        return true;
    }
    if one.len() == 1 && other.len() == 1 {
        return one[0].distance_m(other[0]) <= within_m;
    }
    if one.len() < other.len() {
        return is_any_near(other, one);
    }
    let degrees = if first.height_m() > first.width_m() { LatLng::latitude } else { LatLng::longitude };
    let middle = one.len() / 2;
    one.select_nth_unstable_by(middle, |a, b| degrees(*a).total_cmp(&degrees(*b)));
    let (low, high) = one.split_at_mut(middle);
    is_any_near(low, other) || is_any_near(high, other)
}

/// A lower bound for the distance of two rectangles on a plane, in metres.
fn at_least_m(one: Rect, other: Rect) -> f64 {
    let north = (one.south - other.north).max(other.south - one.north).max(0.0);
    let east = (one.west - other.east).max(other.west - one.east).max(0.0);
    let farthest = one.hull(other);
    let farthest = if farthest.north > -farthest.south { farthest.north } else { farthest.south };
    let at = LatLng::new(farthest, 0.0).expect("it is the latitude of a position");
    let (south_north, east_west) = at.metres_per_degree(0.0);
    (north * south_north).hypot(east * east_west)
}

/// Disjoint sets of numbers (union–find). Each entry is a lower number of the same set; the lowest one points to itself.
struct Sets(Vec<usize>);

impl Sets {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, number: usize) -> usize {
        let mut at = number;
        while self.0[at] != at {
            // Path halving shortens the path for later lookups.
            self.0[at] = self.0[self.0[at]];
            at = self.0[at];
        }
        at
    }

    fn are_joined(&mut self, one: usize, other: usize) -> bool {
        self.root(one) == self.root(other)
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

/// Makes one station of its platforms. If their regions differ, the first in alphabetical order is used, so that the result
/// is stable.
fn merge_cluster(mut cluster: Vec<Platform>) -> Station {
    cluster.sort_by(|a, b| (&a.line, &a.region).cmp(&(&b.line, &b.region)));
    let position = mean(cluster.iter().map(|platform| platform.position));
    let mut lines: Vec<String> = cluster.iter().map(|platform| platform.line.clone()).collect();
    lines.dedup();
    lines.retain(|line| !line.is_empty());
    let region = cluster.iter().map(|platform| &platform.region).min().cloned().unwrap_or_default();
    let name = cluster.swap_remove(0).name;
    Station { name, region, lines, position }
}

/// The mean of positions that are close together, rounded to seven decimals (about 1 cm).
fn mean(positions: impl Iterator<Item = LatLng>) -> LatLng {
    let mut degrees: Vec<(f64, f64)> = positions.map(|position| (position.latitude(), position.longitude())).collect();
    // The result of adding floats depends on their order.
    degrees.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    #[expect(clippy::cast_precision_loss, reason = "a station has a handful of platforms")]
    let count = degrees.len() as f64;
    let round = |sum: f64| (sum / count * 1e7).round() / 1e7;
    let (latitude, longitude) = degrees.iter().fold((0.0, 0.0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    LatLng::new(round(latitude), round(longitude)).expect("the mean of positions lies between them")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(name: &str, latitude: f64, longitude: f64, line: &str) -> Platform {
        let position = LatLng::new(latitude, longitude).unwrap();
        Platform { name: name.to_owned(), region: "수도권".to_owned(), position, line: line.to_owned() }
    }

    /// The specification: all pairs of rows are compared.
    fn one_by_one(platforms: &[Platform]) -> Vec<usize> {
        let mut sets = Sets::new(platforms.len());
        for (number, one) in platforms.iter().enumerate() {
            for (other, two) in platforms.iter().enumerate() {
                if one.name == two.name && one.position.distance_m(two.position) <= 500.0 {
                    sets.join(number, other);
                }
            }
        }
        let mut sizes = vec![0; platforms.len()];
        for number in 0..platforms.len() {
            sizes[sets.root(number)] += 1;
        }
        sizes.retain(|size| *size > 0);
        sizes.sort_unstable();
        sizes
    }

    #[test]
    fn transfer_lines_within_500_m_are_one_station_at_their_mean() {
        let stations = merge(vec![
            platform("서울역", 37.553, 126.97, "4호선"),
            platform("서울역", 37.555, 126.972, "1호선"),
            platform("서울역", 37.554, 126.971, "1호선"),
        ]);

        assert_eq!(stations.len(), 1);
        assert_eq!(stations[0].lines, ["1호선", "4호선"]);
        assert_eq!(stations[0].position, LatLng::new(37.554, 126.971).unwrap());
    }

    #[test]
    fn two_distant_rows_of_one_name_are_two_stations() {
        let stations = merge(vec![
            platform("신촌역", 37.5552, 126.9369, "2호선"),
            platform("신촌역", 37.5597, 126.9425, "경의중앙선"),
        ]);

        assert_eq!(stations.len(), 2);
    }

    #[test]
    fn the_order_of_rows_changes_nothing() {
        // The outer two are 800 m apart and are connected only by the middle one, which comes last.
        let mut rows = vec![
            platform("서울역", 37.550, 126.970, "1호선"),
            platform("서울역", 37.5572, 126.970, "4호선"),
            platform("서울역", 37.5536, 126.970, "공항철도"),
        ];
        let merged = merge(rows.clone());
        rows.rotate_left(1);

        assert_eq!(merged.len(), 1);
        assert_eq!(merge(rows), merged);
    }

    #[test]
    fn a_hundred_thousand_rows_of_two_names_are_merged() {
        // A chain of rows 25 m apart, and two dense groups slightly more than 500 m apart. Comparing all pairs takes hours.
        let chain = (0..60_000).map(|nth| {
            let (row, column) = (f64::from(nth / 300), f64::from(nth % 300));
            platform(
                if nth % 2 == 0 { "가" } else { "나" },
                35.0 + row * 0.000_225,
                127.0 + column * 0.000_274,
                "1호선",
            )
        });
        let crowd = |from: f64| {
            (0..20_000).map(move |nth| {
                let (row, column) = (f64::from(nth / 141), f64::from(nth % 141));
                platform("다", 37.0 + row * 1e-6, from + column * 1e-6, "1호선")
            })
        };

        let stations = merge(chain.chain(crowd(127.0)).chain(crowd(127.006)).collect());

        let names: Vec<&str> = stations.iter().map(|station| station.name.as_str()).collect();
        assert_eq!(names, ["가", "나", "다", "다"]);
    }

    proptest::proptest! {
        #[test]
        fn merging_gives_the_same_result_as_comparing_all_pairs(
            rows in proptest::collection::vec((0..2_usize, 0..400_i32, 0..400_i32), 0..60),
        ) {
            let at = |(name, north, east): (usize, i32, i32)| {
                platform(["가", "나"][name], 37.5 + f64::from(north) * 1e-4, 127.0 + f64::from(east) * 1e-4, "1호선")
            };
            let platforms: Vec<Platform> = rows.into_iter().map(at).collect();

            let mut sizes = Vec::new();
            for name in ["가", "나"] {
                let named = platforms.iter().filter(|row| row.name == name).cloned().collect();
                sizes.extend(clusters(named).iter().map(Vec::len));
            }

            sizes.sort_unstable();
            proptest::prop_assert_eq!(sizes, one_by_one(&platforms));
        }
    }
}
