//! Positions and areas on the WGS84 ellipsoid.
//!
//! Kakao measures distances on the ellipsoid. Spherical distances differ by up to 0.5 % (5 m per kilometre), so they would
//! list places outside the radius.

mod curve;
mod flat;

use std::fmt;

use geographiclib_rs::{Geodesic, InverseGeodesic};

/// Lower and upper bounds for the length of a degree of latitude, in metres.
const MIN_METRES_PER_DEGREE: f64 = 110_570.0;
const MAX_METRES_PER_DEGREE: f64 = 111_700.0;

/// The length of a degree of longitude at the equator, in metres. Towards the poles it decreases with the cosine of the
/// latitude, or slightly more slowly.
const EQUATOR_METRES_PER_DEGREE: f64 = 111_319.49;

/// The margin that is added to each side of a rectangle before it is searched, in degrees (about 1 m), so that no place is
/// missed between two rectangles.
pub const GROWTH: f64 = 1e-5;

/// A place counts as missing only if it lies at least this many metres inside the searched area. Closer to the edge, the API
/// may treat it as outside.
pub const MARGIN_M: i32 = 2;

/// Coordinates are rounded to 1 / `PARTS` of a degree before they are sent.
const PARTS: f64 = 1e7;

/// A valid position in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatLng {
    latitude: f64,
    longitude: f64,
}

/// Why two numbers are not a position.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum OutOfRange {
    /// The latitude is not within -90 to 90 degrees.
    #[error("latitude {0} is not within -90..90")]
    Latitude(f64),
    /// The longitude is not within -180 to 180 degrees.
    #[error("longitude {0} is not within -180..180")]
    Longitude(f64),
}

impl LatLng {
    /// Checks a latitude and a longitude, in degrees.
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

    /// The geodesic distance to `other` in metres.
    #[must_use]
    pub fn distance_m(self, other: Self) -> f64 {
        Geodesic::wgs84().inverse(self.latitude, self.longitude, other.latitude, other.longitude)
    }

    /// Lower bounds for the lengths of a degree of latitude and of longitude, in metres, valid within a distance of here.
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

/// A circle on the ellipsoid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Circle {
    /// The centre.
    pub center: LatLng,
    /// The radius in metres.
    pub radius_m: u32,
}

impl Circle {
    /// Whether `position` lies in the circle, including its edge.
    #[must_use]
    pub fn contains(self, position: LatLng) -> bool {
        // Computing the geodesic takes about 1 µs, so most positions are included by an upper bound of the distance.
        let between = Rect::at(self.center).hull(Rect::at(position));
        let (height_m, width_m, radius_m) = (between.height_m(), between.width_m(), f64::from(self.radius_m));
        height_m * height_m + width_m * width_m <= radius_m * radius_m || self.distance_m(position).is_some()
    }

    /// The distance of `position` from the centre in metres, if it lies in the circle.
    ///
    /// Computing the geodesic takes about 1 µs, so most positions are first excluded by comparing degrees.
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

/// A rectangle between two meridians and two parallels, including its border.
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
    /// The whole globe.
    pub const GLOBE: Self = Self { west: -180.0, south: -90.0, east: 180.0, north: 90.0 };

    /// The rectangle that contains only a position.
    #[must_use]
    pub fn at(position: LatLng) -> Self {
        let LatLng { latitude, longitude } = position;
        Self { west: longitude, south: latitude, east: longitude, north: latitude }
    }

    /// An upper bound for its width in metres.
    #[must_use]
    pub fn width_m(self) -> f64 {
        let nearest = if self.south > 0.0 { self.south } else { (-self.north).max(0.0) };
        // On the ellipsoid a degree of longitude is up to 0.34 % longer than on a sphere.
        (self.east - self.west) * EQUATOR_METRES_PER_DEGREE * 1.0034 * nearest.to_radians().cos()
    }

    /// An upper bound for its height in metres.
    #[must_use]
    pub fn height_m(self) -> f64 {
        (self.north - self.south) * MAX_METRES_PER_DEGREE
    }

    /// A rectangle that contains everything within a distance of this one.
    #[must_use]
    pub fn widened(self, within_m: f64) -> Self {
        let farthest = LatLng { latitude: self.south.abs().max(self.north.abs()), longitude: 0.0 };
        let (south_north, east_west) = farthest.metres_per_degree(within_m);
        let (rise, run) = (within_m / south_north, within_m / east_west);
        Self { west: self.west - run, south: self.south - rise, east: self.east + run, north: self.north + rise }
    }

    /// The centre.
    #[must_use]
    pub fn center(self) -> LatLng {
        LatLng { latitude: f64::midpoint(self.south, self.north), longitude: f64::midpoint(self.west, self.east) }
    }

    /// The smallest rectangle that contains both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self {
            west: self.west.min(other.west),
            south: self.south.min(other.south),
            east: self.east.max(other.east),
            north: self.north.max(other.north),
        }
    }

    /// The rectangle that is sent to the API: about 1 m larger on each side, rounded outwards.
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

/// The area of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Area {
    /// A circle.
    Circle(Circle),
    /// A rectangle.
    Rect(Rect),
}

/// The API may return places up to this distance outside the area, in metres, because it measures differently.
const TOLERANCE_M: f64 = 2.0;

/// Additional tolerance for a circle, as a share of its radius: distances on a map projection differ from the ellipsoid's.
const TOLERANCE_SHARE: f64 = 0.001;

impl Area {
    /// Whether a correct response to a search in this area can contain a position.
    #[must_use]
    pub fn holds(self, position: LatLng) -> bool {
        match self {
            Self::Circle(Circle { center, radius_m }) => {
                let radius_m = f64::from(radius_m);
                center.distance_m(position) <= radius_m + TOLERANCE_M + radius_m * TOLERANCE_SHARE
            }
            Self::Rect(rect) => rect.widened(TOLERANCE_M).contains(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> LatLng {
        LatLng::new(latitude, longitude).unwrap()
    }

    #[test]
    fn numbers_out_of_range_are_not_a_position() {
        assert_eq!(LatLng::new(127.0, 37.5), Err(OutOfRange::Latitude(127.0)));
        assert_eq!(LatLng::new(37.5, 190.0), Err(OutOfRange::Longitude(190.0)));
        assert!(LatLng::new(f64::NAN, 127.0).is_err());
        assert!(LatLng::new(37.5, f64::INFINITY).is_err());
    }

    #[test]
    fn distances_are_measured_on_the_ellipsoid() {
        // The expected lengths of an arc minute come from the ellipsoid's radii of curvature at 37.5° north.
        let seoul = at(37.5, 127.0);

        assert!((seoul.distance_m(at(37.5, 127.0 + 1.0 / 60.0)) - 1473.755).abs() < 0.01);
        assert!((seoul.distance_m(at(37.5 + 1.0 / 60.0, 127.0)) - 1849.785).abs() < 0.01);
    }

    #[test]
    fn a_circle_includes_positions_up_to_its_edge() {
        let circle = Circle { center: at(37.5, 127.0), radius_m: 1000 };

        assert!(circle.contains(at(37.509, 127.0)));
        assert!(!circle.contains(at(37.5091, 127.0)));
        assert!(!circle.contains(at(38.5, 127.0)));
    }

    #[test]
    fn results_may_lie_in_the_area_or_slightly_outside() {
        let rect = Area::Rect(Rect { west: 127.0, south: 37.5, east: 127.1, north: 37.6 });
        let circle = Area::Circle(Circle { center: at(37.5, 127.0), radius_m: 1000 });

        assert!(rect.holds(at(37.55, 127.100_01)) && rect.holds(at(37.499_99, 127.0)));
        assert!(!rect.holds(at(37.55, 127.100_05)) && !rect.holds(at(35.1, 129.0)));
        assert!(circle.holds(at(37.509_02, 127.0)));
        assert!(!circle.holds(at(37.509_1, 127.0)) && !circle.holds(at(35.1, 129.0)));
    }

    #[test]
    fn a_rectangle_includes_its_border() {
        let rect = Rect { west: 127.0, south: 37.5, east: 127.1, north: 37.6 };

        assert!(rect.contains(at(37.5, 127.0)));
        assert!(rect.contains(at(37.6, 127.1)));
        assert!(!rect.contains(at(37.6, 127.100_001)));
    }
}
