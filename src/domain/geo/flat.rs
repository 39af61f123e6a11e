//! Distances on a flat map: fast, and accurate enough for comparing them.

use super::{LatLng, Rect};

impl LatLng {
    /// The distance to another position in degrees of latitude, on a flat map that is true to scale at `self`.
    #[must_use]
    pub fn flat_degrees(self, other: Self) -> f64 {
        self.flat_square(self.latitude.to_radians().cos(), other).sqrt()
    }

    /// The square of that distance, if a degree of longitude is `scale` degrees of latitude long.
    fn flat_square(self, scale: f64, other: Self) -> f64 {
        let (east, north) = ((other.longitude - self.longitude) * scale, other.latitude - self.latitude);
        east * east + north * north
    }

    /// The item that is nearest on a flat map; the first one if several are equally near.
    pub fn nearest<T>(self, things: impl IntoIterator<Item = T>, position: impl Fn(&T) -> Self) -> Option<T> {
        let scale = self.latitude.to_radians().cos();
        let measured = things.into_iter().map(|thing| (self.flat_square(scale, position(&thing)), thing));
        measured.min_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, thing)| thing)
    }
}

impl Rect {
    /// The smallest rectangle that contains all positions; `None` if there are none.
    #[must_use]
    pub fn around(positions: impl IntoIterator<Item = LatLng>) -> Option<Self> {
        positions.into_iter().map(Self::at).reduce(Self::hull)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> LatLng {
        LatLng::new(latitude, longitude).unwrap()
    }

    #[test]
    fn a_degree_of_longitude_is_shorter_than_one_of_latitude() {
        let (here, north, east) = (at(60.0, 127.0), at(60.6, 127.0), at(60.0, 128.0));

        assert_eq!(here.nearest([north, east], |position| *position), Some(east));
        assert!((here.flat_degrees(east) - 0.5).abs() < 1e-9, "{}", here.flat_degrees(east));
        assert_eq!(here.nearest([], |position: &LatLng| *position), None);
    }

    #[test]
    fn a_rectangle_contains_all_positions() {
        let around = Rect::around([at(37.0, 128.0), at(38.0, 126.0), at(37.5, 127.0)]);

        assert_eq!(around, Some(Rect { west: 126.0, south: 37.0, east: 128.0, north: 38.0 }));
        assert_eq!(Rect::around([]), None);
    }
}
