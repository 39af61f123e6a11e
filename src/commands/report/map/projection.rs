//! From degrees to a drawing: equirectangular, longitudes squeezed by the cosine of the middle latitude.

use crate::commands::report::element::{Element, classed, element, text};
use crate::domain::geo::{LatLng, Rect};

/// Kilometres of a degree of latitude, near enough to draw with.
const KM_PER_DEGREE: f64 = 111.0;

/// No map is drawn larger than this, in units a kilometre.
const LARGEST: f64 = 22.0;

/// Units that are left free around the stations.
const MARGIN: f64 = 16.0;

/// Units below the stations, for the ruler.
const FOOT: f64 = 16.0;

/// What circles measure, in units.
const SMALLEST_RADIUS: f64 = 2.1;
const LARGEST_RADIUS: f64 = 4.6;

/// What rulers measure, in kilometres.
const RULERS: [u32; 5] = [20, 10, 5, 2, 1];

/// Where degrees are in a drawing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Projection {
    width: f64,
    height: f64,
    /// Units of a degree of latitude.
    scale: f64,
    squeeze: f64,
    /// Where the middle is, from the top.
    middle: f64,
    /// The degrees in the middle.
    latitude: f64,
    longitude: f64,
}

impl Projection {
    /// A drawing that these positions just fit into, no larger than the given width and height.
    pub(super) fn around(positions: impl Iterator<Item = LatLng>, width: f64, height: f64) -> Self {
        let bounds = positions.map(Rect::at).reduce(|one, other| Rect {
            west: one.west.min(other.west),
            south: one.south.min(other.south),
            east: one.east.max(other.east),
            north: one.north.max(other.north),
        });
        let inner = Self::of(bounds.unwrap_or(Rect::GLOBE), width - 2.0 * MARGIN, height - 2.0 * MARGIN - FOOT);
        let around = inner.height + 2.0 * MARGIN;
        Self { width, height: around + FOOT, middle: around / 2.0, ..inner }
    }

    /// A drawing of a rectangle, as wide as given and no higher.
    pub(super) fn of(bounds: Rect, width: f64, height: f64) -> Self {
        let (latitude, longitude) = (bounds.center().latitude(), bounds.center().longitude());
        let squeeze = latitude.to_radians().cos();
        let (north, east) = (bounds.north - bounds.south, (bounds.east - bounds.west) * squeeze);
        let scale = (width / east).min(height / north).min(LARGEST * KM_PER_DEGREE);
        let height = (north * scale).max(height / 2.0);
        Self { width, height, middle: height / 2.0, scale, squeeze, latitude, longitude }
    }

    /// Width and height.
    pub(super) fn size(&self) -> (f64, f64) {
        (self.width, self.height)
    }

    /// Where a position is in the drawing.
    pub(super) fn point(&self, position: LatLng) -> (f64, f64) {
        self.project(position.latitude(), position.longitude())
    }

    /// Where degrees are in the drawing.
    pub(super) fn project(&self, latitude: f64, longitude: f64) -> (f64, f64) {
        (
            self.width / 2.0 + (longitude - self.longitude) * self.squeeze * self.scale,
            self.middle - (latitude - self.latitude) * self.scale,
        )
    }

    /// Whether a position is within the drawing.
    pub(super) fn contains(&self, position: LatLng) -> bool {
        let (x, y) = self.point(position);
        (0.0..=self.width).contains(&x) && (0.0..=self.height).contains(&y)
    }

    /// How far two positions are from each other in the drawing.
    pub(super) fn distance(&self, one: LatLng, other: LatLng) -> f64 {
        let ((x, y), (other_x, other_y)) = (self.point(one), self.point(other));
        (x - other_x).hypot(y - other_y)
    }

    /// A radius with which most circles do not touch their neighbours.
    pub(super) fn radius(&self, positions: impl Iterator<Item = LatLng>) -> f64 {
        let positions: Vec<LatLng> = positions.collect();
        let to_neighbour = |(at, position): (usize, &LatLng)| {
            let others = positions.iter().enumerate().filter(|(other, _)| *other != at);
            others.map(|(_, other)| self.distance(*position, *other)).fold(f64::INFINITY, f64::min)
        };
        let mut distances: Vec<f64> = positions.iter().enumerate().map(to_neighbour).collect();
        distances.sort_by(f64::total_cmp);
        let usual = distances.get(distances.len() / 4).copied().unwrap_or(f64::INFINITY);
        (usual * 0.45).clamp(SMALLEST_RADIUS, LARGEST_RADIUS)
    }

    /// A line of so many kilometres in the lower left corner.
    pub(super) fn ruler(&self) -> Element {
        let units = |km: u32| f64::from(km) * self.scale / KM_PER_DEGREE;
        let km = RULERS.into_iter().find(|km| units(*km) <= self.width / 4.0).unwrap_or(1);
        let y = self.height - 8.0;
        let line = classed("path", "ruler").set("d", format!("M10 {:.1}v4h{:.1}v-4", y - 4.0, units(km)));
        let told = text("text", format!("{km} km")).set("x", format!("{:.1}", 16.0 + units(km)));
        element("g").set("class", "scale").add(line).add(told.set("y", y))
    }
}

#[cfg(test)]
mod tests {
    use super::Projection;
    use crate::domain::geo::LatLng;

    fn at(latitude: f64, longitude: f64) -> LatLng {
        LatLng::new(latitude, longitude).unwrap()
    }

    #[test]
    fn a_kilometre_is_as_long_to_the_east_as_to_the_north() {
        let corners = [at(37.0, 127.0), at(38.0, 128.0)];
        let map = Projection::around(corners.into_iter(), 400.0, 600.0);
        let (south_west, east, north) = (at(37.5, 127.5), at(37.5, 127.613_08), at(37.590_09, 127.5));

        let (to_east, to_north) = (map.distance(south_west, east), map.distance(south_west, north));

        assert!((to_east / to_north - 1.0).abs() < 0.01, "{to_east} {to_north}");
        assert!(corners.iter().all(|corner| map.contains(*corner)));
        assert!(map.point(corners[0]).1 > map.point(corners[1]).1, "north is up");
    }

    #[test]
    fn a_single_station_is_in_the_middle() {
        let station = at(37.5, 127.0);

        let map = Projection::around([station].into_iter(), 400.0, 200.0);

        let (width, height) = map.size();
        assert!((map.point(station).0 - width / 2.0).abs() < 1e-9);
        assert!(map.contains(station) && height > 50.0);
    }
}
