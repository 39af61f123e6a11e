//! In which region a position lies: that of the nearest station.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::domain::geo::LatLng;
use crate::domain::station::StoredStation;

/// Positions within a hundredth of a degree, about a kilometre, are taken for one: regions lie far apart.
const BUCKETS_PER_DEGREE: f64 = 100.0;

/// A region, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(usize);

/// The regions of the stations.
#[derive(Debug, Default)]
pub struct Regions {
    names: Vec<String>,
    stations: Vec<(LatLng, Region)>,
    known: RefCell<HashMap<(i32, i32), Region>>,
}

impl Regions {
    /// Takes the stations in use.
    #[must_use]
    pub fn of(stations: &[StoredStation]) -> Self {
        let mut names: Vec<String> = stations.iter().map(|stored| stored.station.region.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let region = |name: &String| Region(names.binary_search(name).unwrap_or_default());
        let stations = stations.iter().map(|stored| (stored.station.position, region(&stored.station.region)));
        Self { stations: stations.collect(), names, known: RefCell::default() }
    }

    /// The region of a position.
    #[expect(clippy::cast_possible_truncation, reason = "degrees are few; the float cast saturates")]
    pub(super) fn at(&self, position: LatLng) -> Region {
        let bucket = |degrees: f64| (degrees * BUCKETS_PER_DEGREE).floor() as i32;
        let bucket = (bucket(position.latitude()), bucket(position.longitude()));
        *self.known.borrow_mut().entry(bucket).or_insert_with(|| self.nearest(position))
    }

    /// The name of a region.
    pub(super) fn name(&self, region: Region) -> &str {
        self.names.get(region.0).map_or("?", String::as_str)
    }

    fn nearest(&self, position: LatLng) -> Region {
        // On a plane: the nearest station is told, not how far it is.
        let east_west = position.latitude().to_radians().cos();
        let square = |at: LatLng| {
            let rows = at.latitude() - position.latitude();
            let columns = (at.longitude() - position.longitude()) * east_west;
            rows * rows + columns * columns
        };
        let nearest = self.stations.iter().min_by(|a, b| square(a.0).total_cmp(&square(b.0)));
        nearest.map_or(Region(0), |(_, region)| *region)
    }
}
