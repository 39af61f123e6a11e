//! The spatial index: spots in strips of latitude, sorted by longitude within a strip.
//!
//! A rectangle is then a handful of contiguous runs, found by binary search, and a spot carries all that a search
//! compares, so the places themselves are not touched until they are answered.

use crate::domain::geo::{LatLng, Rect};

/// The height of a strip in degrees, some 450 m.
const STRIP_DEGREES: f64 = 0.004;

/// What a search needs to know of a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    strip: i32,
    /// The place's position in the world.
    pub(super) index: u32,
    /// The place's number among those of this index, in the order of the world, from 1 on.
    pub(super) ordinal: u32,
    /// The bit of its category group.
    pub(super) group: u32,
    /// Degrees north.
    pub(super) latitude: f64,
    /// Degrees east.
    pub(super) longitude: f64,
    /// Its rank in the order of accuracy.
    pub(super) rank: u64,
}

/// Spots that a rectangle finds quickly.
#[derive(Debug, Default)]
pub(super) struct Strips(Vec<Spot>);

impl Strips {
    /// Adds a place; [`Strips::sort`] has to follow before the first search.
    pub(super) fn push(&mut self, index: u32, group: u32, position: LatLng, rank: u64) {
        let ordinal = u32::try_from(self.0.len() + 1).expect("a world has fewer than four billion places");
        let (latitude, longitude) = (position.latitude(), position.longitude());
        self.0.push(Spot { strip: strip(latitude), index, ordinal, group, latitude, longitude, rank });
    }

    /// Makes the index ready.
    pub(super) fn sort(&mut self) {
        self.0.sort_unstable_by(|a, b| {
            a.strip.cmp(&b.strip).then(a.longitude.total_cmp(&b.longitude)).then(a.index.cmp(&b.index))
        });
        self.0.shrink_to_fit();
    }

    /// All spots in a rectangle, its border included, and some to the north and south of it.
    pub(super) fn around(&self, rect: Rect) -> impl Iterator<Item = &Spot> {
        let lowest = self.0.first().map_or(0, |spot| spot.strip).max(strip(rect.south));
        let highest = self.0.last().map_or(-1, |spot| spot.strip).min(strip(rect.north));
        (lowest..=highest).flat_map(move |strip| {
            let start = self.0.partition_point(|spot| (spot.strip, spot.longitude) < (strip, rect.west));
            self.0[start..].iter().take_while(move |spot| spot.strip == strip && spot.longitude <= rect.east)
        })
    }

    /// All spots.
    pub(super) fn all(&self) -> impl Iterator<Item = &Spot> {
        self.0.iter()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "degrees are few; the float cast saturates")]
fn strip(latitude: f64) -> i32 {
    (latitude / STRIP_DEGREES).floor() as i32
}
