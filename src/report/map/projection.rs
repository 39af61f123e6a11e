//! The map projection: equirectangular, with longitudes scaled by the cosine of the middle latitude.

use crate::domain::geo::{LatLng, Rect};
use crate::report::element::{Element, classed, element, text};

/// Kilometres per degree of latitude, accurate enough for drawing.
const KM_PER_DEGREE: f64 = 111.0;

/// Maximum scale of a map, in SVG units per kilometre.
const LARGEST: f64 = 22.0;

/// The margin around the stations, in SVG units.
const MARGIN: f64 = 16.0;

/// The space for the scale bar below the stations, in SVG units.
const FOOT: f64 = 16.0;

/// Limits of the radius of a circle, in SVG units.
const SMALLEST_RADIUS: f64 = 2.1;
const LARGEST_RADIUS: f64 = 4.6;

/// Possible lengths of the scale bar, in kilometres.
const RULERS: [u32; 5] = [20, 10, 5, 2, 1];

/// Maps coordinates in degrees to SVG units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Projection {
    width: f64,
    height: f64,
    /// SVG units per degree of latitude.
    scale: f64,
    /// The cosine of the middle latitude.
    squeeze: f64,
    /// The y coordinate of the middle latitude, in SVG units.
    middle: f64,
    /// The centre of the mapped area, in degrees.
    latitude: f64,
    longitude: f64,
}

impl Projection {
    /// Fits these positions, with a margin and a scale bar, into a drawing that is `width` wide and at most `height` high.
    pub(super) fn around(positions: impl Iterator<Item = LatLng>, width: f64, height: f64) -> Self {
        let inner = Self::of(
            Rect::around(positions).unwrap_or(Rect::GLOBE),
            width - 2.0 * MARGIN,
            height - 2.0 * MARGIN - FOOT,
        );
        let around = inner.height + 2.0 * MARGIN;
        Self { width, height: around + FOOT, middle: around / 2.0, ..inner }
    }

    /// Fits a rectangle into a drawing that is `width` wide, and at least half of `height` and at most `height` high.
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

    /// The SVG coordinates (x, y) of a position.
    pub(super) fn point(&self, position: LatLng) -> (f64, f64) {
        self.project(position.latitude(), position.longitude())
    }

    /// The SVG coordinates (x, y) of a latitude and a longitude in degrees.
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

    /// The distance between two positions, in SVG units.
    pub(super) fn distance(&self, one: LatLng, other: LatLng) -> f64 {
        let ((x, y), (other_x, other_y)) = (self.point(one), self.point(other));
        (x - other_x).hypot(y - other_y)
    }

    /// A circle radius with which about three quarters of the circles do not touch their neighbours, within the limits above.
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

    /// The scale bar in the lower left corner.
    pub(super) fn ruler(&self) -> Element {
        let units = |km: u32| f64::from(km) * self.scale / KM_PER_DEGREE;
        let km = RULERS.into_iter().find(|km| units(*km) <= self.width / 4.0).unwrap_or(1);
        let y = self.height - 8.0;
        let line = classed("path", "ruler").set("d", format!("M10 {:.1}v4h{:.1}v-4", y - 4.0, units(km)));
        let label = text("text", format!("{km} km")).set("x", format!("{:.1}", 16.0 + units(km)));
        element("g").set("class", "scale").add(line).add(label.set("y", y))
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
    fn a_kilometre_has_the_same_length_in_both_directions() {
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
