//! The areas that a run has searched completely. Only there does a known place that was not found count as missing.

use std::collections::{BTreeMap, HashMap};

use crate::domain::geo::{Area, Circle, LatLng, MARGIN_M, Rect};
use crate::domain::keyword::KeywordId;

/// The size of a bucket in degrees (about 2 km). A circle with the default radius overlaps only a few buckets.
const BUCKET_DEGREES: f64 = 0.02;

/// The areas of complete cells, by keyword.
#[derive(Debug, Default)]
pub(super) struct Proven(BTreeMap<KeywordId, Searched>);

/// The complete cells of one keyword, indexed by buckets.
#[derive(Debug, Default)]
struct Searched {
    areas: Vec<Area>,
    buckets: HashMap<(i32, i32), Vec<usize>>,
}

impl Proven {
    /// Adds a complete cell.
    pub(super) fn add(&mut self, keyword: KeywordId, area: Area) {
        self.0.entry(keyword).or_default().add(area);
    }

    /// The keywords with at least one complete cell.
    pub(super) fn keywords(&self) -> Vec<KeywordId> {
        self.0.keys().copied().collect()
    }

    /// Whether a position lies inside the completely searched area of a keyword, at least `MARGIN_M` metres from its edge.
    pub(super) fn holds(&self, keyword: KeywordId, position: LatLng) -> bool {
        self.0.get(&keyword).is_some_and(|searched| searched.holds(position))
    }
}

impl Searched {
    fn add(&mut self, area: Area) {
        let Rect { west, south, east, north } = frame(area);
        let (first, last) = (bucket(south, west), bucket(north, east));
        for row in first.0..=last.0 {
            for column in first.1..=last.1 {
                self.buckets.entry((row, column)).or_default().push(self.areas.len());
            }
        }
        self.areas.push(area);
    }

    /// Whether a position lies well within one cell, or its surroundings are covered by several adjacent rectangles.
    fn holds(&self, position: LatLng) -> bool {
        let around = surroundings(position);
        let is_well_within = |area: Area| match area {
            Area::Circle(Circle { center, radius_m }) => {
                let within = Circle { center, radius_m: radius_m.saturating_sub(MARGIN_M.unsigned_abs()) };
                within.contains(position)
            }
            Area::Rect(rect) => around.iter().all(|at| rect.contains(*at)),
        };
        let is_in_a_rectangle =
            |at: LatLng| self.near(at).any(|area| matches!(area, Area::Rect(rect) if rect.contains(at)));
        self.near(position).any(is_well_within) || around.iter().all(|at| is_in_a_rectangle(*at))
    }

    fn near(&self, position: LatLng) -> impl Iterator<Item = Area> {
        let areas = self.buckets.get(&bucket(position.latitude(), position.longitude()));
        areas.into_iter().flatten().map(|index| self.areas[*index])
    }
}

#[expect(clippy::cast_possible_truncation, reason = "degrees are few; the float cast saturates")]
fn bucket(latitude: f64, longitude: f64) -> (i32, i32) {
    ((latitude / BUCKET_DEGREES).floor() as i32, (longitude / BUCKET_DEGREES).floor() as i32)
}

/// The bounding box of an area.
fn frame(area: Area) -> Rect {
    match area {
        Area::Rect(rect) => rect,
        Area::Circle(Circle { center, radius_m }) => {
            let radius_m = f64::from(radius_m);
            let (south_north, east_west) = center.metres_per_degree(radius_m);
            let (rows, columns) = (radius_m / south_north, radius_m / east_west);
            Rect {
                west: center.longitude() - columns,
                south: center.latitude() - rows,
                east: center.longitude() + columns,
                north: center.latitude() + rows,
            }
        }
    }
}

/// A position and the eight around it, `MARGIN_M` (2 m) away in latitude, in longitude, or in both.
fn surroundings(position: LatLng) -> Vec<LatLng> {
    let margin_m = f64::from(MARGIN_M);
    let (south_north, east_west) = position.metres_per_degree(margin_m);
    let (rows, columns) = (margin_m / south_north, margin_m / east_west);
    let steps = [-1.0, 0.0, 1.0];
    let at = |row: f64, column: f64| {
        LatLng::new(position.latitude() + row * rows, position.longitude() + column * columns).ok()
    };
    steps.into_iter().flat_map(|row| steps.into_iter().filter_map(move |column| at(row, column))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAFE: KeywordId = KeywordId(1);

    fn at(latitude: f64, longitude: f64) -> LatLng {
        LatLng::new(latitude, longitude).unwrap()
    }

    fn rect(west: f64, east: f64) -> Area {
        Area::Rect(Rect { west, south: 37.4, east, north: 37.6 })
    }

    fn proven(areas: impl IntoIterator<Item = Area>) -> Proven {
        let mut proven = Proven::default();
        for area in areas {
            proven.add(CAFE, area);
        }
        proven
    }

    #[test]
    fn a_place_on_the_edge_of_the_area_cannot_be_missed() {
        let metre = 1.0 / 88_000.0;
        let rect = proven([rect(127.0, 127.1)]);
        let circle = proven([Area::Circle(Circle { center: at(37.5, 127.0), radius_m: 1000 })]);

        let from_the_west = [-1.0, 1.0, 3.0].map(|metres| rect.holds(CAFE, at(37.5, 127.0 + metres * metre)));
        // 1,000 m are 0.009009 degrees of latitude.
        let from_the_north = [0.009_02, 0.009_00, 0.008_98].map(|rows| circle.holds(CAFE, at(37.5 + rows, 127.0)));

        assert_eq!((from_the_west, from_the_north), ([false, false, true], [false, false, true]));
    }

    #[test]
    fn a_place_between_two_rectangles_is_missed_by_both_or_by_none() {
        let border = at(37.5, 127.1);

        assert!(proven([rect(127.0, 127.1), rect(127.1, 127.2)]).holds(CAFE, border));
        assert!(!proven([rect(127.0, 127.1)]).holds(CAFE, border));
        assert!(!proven([rect(127.0, 127.1), rect(127.100_03, 127.2)]).holds(CAFE, border), "there is a gap");
    }

    #[test]
    fn every_keyword_has_its_own_area() {
        assert!(!proven([rect(127.0, 127.1)]).holds(KeywordId(2), at(37.5, 127.05)));
    }
}
