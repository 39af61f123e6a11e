//! Positions and areas on the WGS84 ellipsoid.
//!
//! Kakao measures on the ellipsoid, so a sphere (off by up to 0.5 %, five metres in a kilometre) would list
//! places that lie outside a radius.

use std::fmt;

use geographiclib_rs::{Geodesic, InverseGeodesic};

/// Metres that one degree of latitude has at least, anywhere on the ellipsoid.
const MIN_METRES_PER_DEGREE: f64 = 110_570.0;

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
        let degrees = radius_m / MIN_METRES_PER_DEGREE;
        if (position.latitude - self.center.latitude).abs() > degrees {
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
    /// Whether `position` lies inside or on the border.
    #[must_use]
    pub fn contains(self, position: LatLng) -> bool {
        (self.south..=self.north).contains(&position.latitude) && (self.west..=self.east).contains(&position.longitude)
    }
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
