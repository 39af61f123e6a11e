//! The order of positions along a Hilbert curve, on which neighbours on the map are mostly neighbours in a file.

use super::{LatLng, Rect};

/// The area that the curve fills: Korea with its islands. Positions outside it count as on its border.
const KOREA: Rect = Rect { west: 124.0, south: 32.0, east: 132.0, north: 40.0 };

/// Steps along each axis. One is about 10 m wide.
const STEPS: u32 = 1 << 16;

impl LatLng {
    /// How far along the curve a position lies.
    #[must_use]
    pub fn along_curve(self) -> u32 {
        let step = |degrees: f64, from: f64, to: f64| {
            let share = ((degrees - from) / (to - from)).clamp(0.0, 1.0);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 65,536")]
            let step = (share * f64::from(STEPS - 1)) as u32;
            step
        };
        hilbert(step(self.longitude, KOREA.west, KOREA.east), step(self.latitude, KOREA.south, KOREA.north))
    }
}

/// The number of a cell on the curve: one quadrant after the other, from the largest to the smallest, each turned so that the
/// end of one meets the start of the next.
fn hilbert(mut x: u32, mut y: u32) -> u32 {
    let mut along = 0;
    let mut side = STEPS / 2;
    while side > 0 {
        let (right, upper) = (x & side != 0, y & side != 0);
        let quadrant = match (right, upper) {
            (false, false) => 0,
            (false, true) => 1,
            (true, true) => 2,
            (true, false) => 3,
        };
        along += side * side * quadrant;
        if !upper {
            if right {
                (x, y) = (STEPS - 1 - x, STEPS - 1 - y);
            }
            (x, y) = (y, x);
        }
        side /= 2;
    }
    along
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn neighbours_on_the_curve_are_neighbours_on_the_map() {
        let corner = 40_000..40_064;
        let cells: Vec<(u32, u32)> = corner.clone().flat_map(|x| corner.clone().map(move |y| (x, y))).collect();
        let mut along: Vec<(u32, (u32, u32))> = cells.iter().map(|cell| (hilbert(cell.0, cell.1), *cell)).collect();
        along.sort_unstable();

        assert_eq!(
            along.iter().map(|(along, _)| along).collect::<BTreeSet<_>>().len(),
            cells.len(),
            "each has its own"
        );
        for pair in along.windows(2) {
            let [(from, one), (to, other)] = pair else { continue };
            if to - from == 1 {
                assert_eq!(one.0.abs_diff(other.0) + one.1.abs_diff(other.1), 1, "{one:?} and {other:?}");
            }
        }
        assert_eq!((hilbert(0, 0), hilbert(STEPS - 1, 0)), (0, u32::MAX), "it begins and ends in the south");
    }

    #[test]
    fn a_position_outside_korea_is_at_the_border() {
        let along = |latitude, longitude| LatLng::new(latitude, longitude).unwrap().along_curve();

        assert_eq!(along(-90.0, -180.0), along(32.0, 124.0));
        assert_ne!(along(37.5, 127.0), along(37.5, 127.001));
    }
}
