//! Approximate distances for filtering and sorting, about thirty times faster than the geodesic.
//!
//! Within a city a flat approximation at the middle latitude is accurate to 1 mm per kilometre. If that error could decide
//! whether a place is inside a circle, the geodesic is used.

use crate::domain::geo::{Circle, LatLng, Rect};

/// The maximum distance in metres for which the flat approximation is used.
const FLAT_M: f64 = 25_000.0;

/// The relative difference to the radius below which the geodesic is used.
const DOUBT: f64 = 1e-4;

/// The equatorial radius of the WGS84 ellipsoid in metres.
const EQUATOR_M: f64 = 6_378_137.0;

/// The square of the eccentricity of the WGS84 ellipsoid.
const ECCENTRICITY_2: f64 = 0.006_694_379_990_141_317;

/// The distance between two positions in metres.
pub(super) fn distance_m(from: LatLng, to: LatLng) -> f64 {
    let flat = flat_m(from, to);
    if flat < FLAT_M { flat } else { from.distance_m(to) }
}

/// Whether a position lies in a circle, including its edge.
pub(super) fn is_inside(circle: Circle, position: LatLng) -> bool {
    let share = flat_m(circle.center, position) / f64::from(circle.radius_m);
    if share.is_finite() && (share - 1.0).abs() > DOUBT && f64::from(circle.radius_m) < FLAT_M {
        share < 1.0
    } else {
        circle.contains(position)
    }
}

/// A rectangle that contains a circle.
pub(super) fn frame(circle: Circle) -> Rect {
    let (latitude, longitude) = (circle.center.latitude(), circle.center.longitude());
    let rise = f64::from(circle.radius_m) / 110_500.0;
    let run = rise / (latitude.abs() + rise).min(89.0).to_radians().cos();
    Rect { west: longitude - run, south: latitude - rise, east: longitude + run, north: latitude + rise }
}

fn flat_m(from: LatLng, to: LatLng) -> f64 {
    let middle = f64::midpoint(from.latitude(), to.latitude()).to_radians();
    let (sin, cos) = middle.sin_cos();
    let bulge = 1.0 - ECCENTRICITY_2 * sin * sin;
    let prime_m = EQUATOR_M / bulge.sqrt();
    let meridian_m = prime_m * (1.0 - ECCENTRICITY_2) / bulge;
    let north_m = (to.latitude() - from.latitude()).to_radians() * meridian_m;
    let east_m = (to.longitude() - from.longitude()).to_radians() * prime_m * cos;
    north_m.hypot(east_m)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::standin::chance::Chance;

    fn near(chance: &mut Chance, center: LatLng, degrees: f64) -> LatLng {
        let latitude = center.latitude() + chance.between(-degrees, degrees);
        LatLng::new(latitude, center.longitude() + chance.between(-degrees, degrees)).unwrap()
    }

    #[test]
    fn a_distance_of_a_kilometre_is_accurate_to_a_millimetre() {
        let center = LatLng::new(37.4979, 127.0276).unwrap();
        let mut chance = Chance::of(&[1]);

        for _ in 0..1000 {
            let other = near(&mut chance, center, 0.01);
            assert!((distance_m(center, other) - center.distance_m(other)).abs() < 1e-3);
        }
    }

    #[test]
    fn the_result_for_circles_is_that_of_the_geodesic() {
        let center = LatLng::new(37.4979, 127.0276).unwrap();
        let mut chance = Chance::of(&[2]);

        for radius_m in [0, 1, 1000, 20_000] {
            let circle = Circle { center, radius_m };
            for _ in 0..1000 {
                let degrees = f64::from(radius_m) / 90_000.0;
                let other = near(&mut chance, center, degrees);
                assert_eq!(is_inside(circle, other), circle.contains(other), "{other}");
                assert!(!circle.contains(other) || frame(circle).contains(other));
            }
        }
    }
}
