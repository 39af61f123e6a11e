//! Positions and areas on the WGS84 ellipsoid.
//!
//! Kakao measures on the ellipsoid, so a sphere (off by up to 0.5 %, five metres in a kilometre) would list
//! places that lie outside a radius.

use std::fmt;

use geographiclib_rs::{Geodesic, InverseGeodesic};

/// Metres that one degree of latitude has at least, and at most, anywhere on the ellipsoid.
const MIN_METRES_PER_DEGREE: f64 = 110_570.0;
const MAX_METRES_PER_DEGREE: f64 = 111_700.0;

/// Metres of one degree of longitude on the equator; towards the poles they shrink with the cosine of the latitude, or a
/// little less.
const EQUATOR_METRES_PER_DEGREE: f64 = 111_319.49;

/// By how much a rectangle grows before it is searched, in degrees (about a metre), so that nothing falls between two.
pub const GROWTH: f64 = 1e-5;

/// How many metres within the ground that was searched a place must lie before its absence proves anything: on the very
/// edge, the API may see it on the other side.
pub const MARGIN_M: i32 = 2;

/// What a coordinate is rounded to before it is sent, in parts of a degree.
const PARTS: f64 = 1e7;

/// A position in degrees, always on the globe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatLng {
    latitude: f64,
    longitude: f64,
}

/// A pair of numbers that is no position.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OutOfRange {
    /// The latitude is not a number of -90 to 90 degrees.
    #[error("latitude {0} is not within -90..90")]
    Latitude(f64),
    /// The longitude is not a number of -180 to 180 degrees.
    #[error("longitude {0} is not within -180..180")]
    Longitude(f64),
}

impl LatLng {
    /// Checks two numbers of degrees.
    ///
    /// # Errors
    /// When one of them is out of its range or not a number.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, OutOfRange> {
        if !(-90.0..=90.0).contains(&latitude) {
            return Err(OutOfRange::Latitude(latitude));
        }
        if !(-180.0..=180.0).contains(&longitude) {
            return Err(OutOfRange::Longitude(longitude));
        }
        Ok(Self { latitude, longitude })
    }

    /// Degrees north.
    #[must_use]
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east.
    #[must_use]
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// Metres along the ellipsoid to `other`.
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        Geodesic::wgs84().inverse(self.latitude, self.longitude, other.latitude, other.longitude)
    }

    /// Metres that a degree of latitude, and one of longitude, have at least within a distance.
    #[must_use]
    pub fn metres_per_degree(self, within_m: f64) -> (f64, f64) {
        let farthest = (self.latitude.abs() + within_m / MIN_METRES_PER_DEGREE).min(89.9);
        (MIN_METRES_PER_DEGREE, EQUATOR_METRES_PER_DEGREE * farthest.to_radians().cos())
    }
}

impl fmt::Display for LatLng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.latitude, self.longitude)
    }
}

/// Everything within a distance of a centre.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circle {
    /// The middle.
    pub center: LatLng,
    /// The radius in metres.
    pub radius_m: u32,
}

impl Circle {
    /// Whether `position` lies within the radius, its edge included.
    #[must_use]
    pub fn contains(self, position: LatLng) -> bool {
        self.distance_m(position).is_some()
    }

    /// The distance of `position` from the centre, where it lies within the radius.
    ///
    /// The geodesic costs a microsecond, so a comparison of degrees goes before it.
    #[must_use]
    pub fn distance_m(self, position: LatLng) -> Option<f64> {
        let radius_m = f64::from(self.radius_m);
        let (south_north, east_west) = self.center.metres_per_degree(radius_m);
        let meridians = (position.longitude - self.center.longitude).abs();
        if (position.latitude - self.center.latitude).abs() > radius_m / south_north
            || meridians.min(360.0 - meridians) > radius_m / east_west
        {
            return None;
        }
        let distance_m = self.center.distance_m(position);
        (distance_m <= radius_m).then_some(distance_m)
    }
}

/// Everything between two meridians and two parallels, its border included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// The lowest longitude in degrees.
    pub west: f64,
    /// The lowest latitude in degrees.
    pub south: f64,
    /// The highest longitude in degrees.
    pub east: f64,
    /// The highest latitude in degrees.
    pub north: f64,
}

impl Rect {
    /// Everything.
    pub const GLOBE: Self = Self { west: -180.0, south: -90.0, east: 180.0, north: 90.0 };

    /// A single position.
    #[must_use]
    pub fn at(position: LatLng) -> Self {
        let LatLng { latitude, longitude } = position;
        Self { west: longitude, south: latitude, east: longitude, north: latitude }
    }

    /// Its width in metres, never too little.
    #[must_use]
    pub fn width_m(self) -> f64 {
        let nearest = if self.south > 0.0 { self.south } else { (-self.north).max(0.0) };
        // The ellipsoid adds up to a third of a per cent to the sphere's.
        (self.east - self.west) * EQUATOR_METRES_PER_DEGREE * 1.0034 * nearest.to_radians().cos()
    }

    /// Its height in metres, never too little.
    #[must_use]
    pub fn height_m(self) -> f64 {
        (self.north - self.south) * MAX_METRES_PER_DEGREE
    }

    /// The middle.
    #[must_use]
    pub fn center(self) -> LatLng {
        LatLng { latitude: f64::midpoint(self.south, self.north), longitude: f64::midpoint(self.west, self.east) }
    }

    /// The least rectangle that holds both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self {
            west: self.west.min(other.west),
            south: self.south.min(other.south),
            east: self.east.max(other.east),
            north: self.north.max(other.north),
        }
    }

    /// The rectangle as it is searched: about a metre larger to all sides, and rounded outward.
    #[must_use]
    pub fn grown(self) -> Self {
        let out = |low: f64| ((low - GROWTH) * PARTS).floor() / PARTS;
        Self { west: out(self.west), south: out(self.south), east: -out(-self.east), north: -out(-self.north) }
    }

    /// Whether `position` lies inside or on the border.
    #[must_use]
    pub fn contains(self, position: LatLng) -> bool {
        (self.south..=self.north).contains(&position.latitude) && (self.west..=self.east).contains(&position.longitude)
    }
}

/// Where a search looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// Within a distance.
    Circle(Circle),
    /// Between meridians and parallels.
    Rect(Rect),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> LatLng {
        LatLng::new(latitude, longitude).unwrap()
    }

    #[test]
    fn a_position_is_on_the_globe() {
        assert_eq!(LatLng::new(127.0, 37.5), Err(OutOfRange::Latitude(127.0)));
        assert_eq!(LatLng::new(37.5, 190.0), Err(OutOfRange::Longitude(190.0)));
        assert!(LatLng::new(f64::NAN, 127.0).is_err());
        assert!(LatLng::new(37.5, f64::INFINITY).is_err());
    }

    #[test]
    fn distances_are_those_of_the_ellipsoid() {
        // One arc minute, from the ellipsoid's radii of curvature at 37.5° north.
        let seoul = at(37.5, 127.0);

        assert!((seoul.distance_m(at(37.5, 127.0 + 1.0 / 60.0)) - 1473.755).abs() < 0.01);
        assert!((seoul.distance_m(at(37.5 + 1.0 / 60.0, 127.0)) - 1849.785).abs() < 0.01);
    }

    #[test]
    fn a_circle_includes_its_edge_and_nothing_beyond() {
        let circle = Circle { center: at(37.5, 127.0), radius_m: 1000 };

        assert!(circle.contains(at(37.509, 127.0)));
        assert!(!circle.contains(at(37.5091, 127.0)));
        assert!(!circle.contains(at(38.5, 127.0)));
    }

    #[test]
    fn a_rectangle_includes_its_border() {
        let rect = Rect { west: 127.0, south: 37.5, east: 127.1, north: 37.6 };

        assert!(rect.contains(at(37.5, 127.0)));
        assert!(rect.contains(at(37.6, 127.1)));
        assert!(!rect.contains(at(37.6, 127.100_001)));
    }
}
