//! The spatial index: places in strips of latitude, sorted by longitude within a strip.
//!
//! The places in a rectangle are then a few contiguous ranges, found by binary search. An entry contains everything that a
//! search compares, so the places themselves are accessed only for the response.

use crate::domain::geo::{LatLng, Rect};

/// The height of a strip in degrees, about 450 m.
const STRIP_DEGREES: f64 = 0.004;

/// An entry of the index: the data of a place that a search needs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    strip: i32,
    /// The index of the place in the world.
    pub(super) index: u32,
    /// The number of the place in this spatial index, in the order of the world, counted from 1.
    pub(super) ordinal: u32,
    /// The bit of its category group.
    pub(super) group: u32,
    /// The latitude in degrees.
    pub(super) latitude: f64,
    /// The longitude in degrees.
    pub(super) longitude: f64,
    /// Its rank in the order of accuracy.
    pub(super) rank: u64,
}

/// The spatial index.
#[derive(Debug, Default)]
pub(super) struct Strips(Vec<Spot>);

impl Strips {
    /// Adds a place. Call [`Strips::sort`] before the first search.
    pub(super) fn push(&mut self, index: u32, group: u32, position: LatLng, rank: u64) {
        let ordinal = u32::try_from(self.0.len() + 1).expect("a world has fewer than four billion places");
        let (latitude, longitude) = (position.latitude(), position.longitude());
        self.0.push(Spot { strip: strip(latitude), index, ordinal, group, latitude, longitude, rank });
    }

    /// Sorts the index, which makes it ready for searches.
    pub(super) fn sort(&mut self) {
        self.0.sort_unstable_by(|a, b| {
            a.strip.cmp(&b.strip).then(a.longitude.total_cmp(&b.longitude)).then(a.index.cmp(&b.index))
        });
        self.0.shrink_to_fit();
    }

    /// All entries in a rectangle including its border, and some entries to the north and south of it.
    pub(super) fn around(&self, rect: Rect) -> impl Iterator<Item = &Spot> {
        let lowest = self.0.first().map_or(0, |spot| spot.strip).max(strip(rect.south));
        let highest = self.0.last().map_or(-1, |spot| spot.strip).min(strip(rect.north));
        (lowest..=highest).flat_map(move |strip| {
            let start = self.0.partition_point(|spot| (spot.strip, spot.longitude) < (strip, rect.west));
            self.0[start..].iter().take_while(move |spot| spot.strip == strip && spot.longitude <= rect.east)
        })
    }

    /// All entries.
    pub(super) fn all(&self) -> impl Iterator<Item = &Spot> {
        self.0.iter()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "degrees are few; the float cast saturates")]
fn strip(latitude: f64) -> i32 {
    (latitude / STRIP_DEGREES).floor() as i32
}
