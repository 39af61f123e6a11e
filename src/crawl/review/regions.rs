//! Assigns a position to a region: that of the nearest station.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::geo::LatLng;
use crate::domain::station::StoredStation;

/// Positions in the same bucket of 0.01 degrees (about 1 km) get the same region, which is looked up only once. Regions lie
/// much farther apart.
const BUCKETS_PER_DEGREE: f64 = 100.0;

/// A region, as an index into the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(usize);

/// The regions of the stations.
#[derive(Debug, Default)]
pub struct Regions {
    names: Vec<String>,
    stations: Vec<(LatLng, Region)>,
    known: Mutex<HashMap<(i32, i32), Region>>,
}

impl Regions {
    /// Collects the regions of stations that are not retired.
    #[must_use]
    pub fn of(stations: &[StoredStation]) -> Self {
        let mut names: Vec<String> = stations.iter().map(|stored| stored.station.region.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let region = |name: &String| Region(names.binary_search(name).unwrap_or_default());
        let stations = stations.iter().map(|stored| (stored.station.position, region(&stored.station.region)));
        Self { stations: stations.collect(), names, known: Mutex::default() }
    }

    /// The region of a position.
    #[expect(clippy::cast_possible_truncation, reason = "degrees are few; the float cast saturates")]
    pub(super) fn at(&self, position: LatLng) -> Region {
        let bucket = |degrees: f64| (degrees * BUCKETS_PER_DEGREE).floor() as i32;
        let bucket = (bucket(position.latitude()), bucket(position.longitude()));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known.entry(bucket).or_insert_with(|| self.nearest(position))
    }

    /// The name of a region.
    pub(super) fn name(&self, region: Region) -> &str {
        self.names.get(region.0).map_or("?", String::as_str)
    }

    fn nearest(&self, position: LatLng) -> Region {
        let nearest = position.nearest(&self.stations, |(at, _)| *at);
        nearest.map_or(Region(0), |(_, region)| *region)
    }
}
