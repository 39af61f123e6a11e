//! Stations: merging the rows of a station file into stations, and matching them with the stored stations.

mod merge;
mod recognise;

use super::geo::{Circle, LatLng};

pub use merge::merge;
pub use recognise::recognise;

/// Rows with the same name within this distance, in metres, belong to one station.
const SAME_STATION_M: u32 = 500;

/// The key of a stored station.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationId(pub i32);

/// One row of a station file: a station on one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// The name of the station.
    pub name: String,
    /// The network it belongs to, such as `수도권`.
    pub region: String,
    /// The position of the platform.
    pub position: LatLng,
    /// The line that stops here.
    pub line: String,
}

/// A station with all its lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Station {
    /// Its name.
    pub name: String,
    /// The network it belongs to, such as `수도권`.
    pub region: String,
    /// The lines that stop here, sorted.
    pub lines: Vec<String>,
    /// The mean of its platforms' positions.
    pub position: LatLng,
}

/// A station that is stored in the database.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredStation {
    /// Its key.
    pub id: StationId,
    /// Its data from the last station file that contained it.
    pub station: Station,
    /// Whether it was missing in the station file of the last full run.
    pub is_retired: bool,
}

/// An index that finds the stations around a position.
#[derive(Clone, Debug)]
pub struct StationMap {
    /// Sorted by latitude, so that the candidates are a contiguous range.
    stations: Vec<(StationId, LatLng)>,
    radius_m: u32,
}

impl StationMap {
    /// Builds the index from the stations in use and the radius of their listings.
    #[must_use]
    pub fn new(mut stations: Vec<(StationId, LatLng)>, radius_m: u32) -> Self {
        stations.sort_by(|a, b| a.1.latitude().total_cmp(&b.1.latitude()));
        Self { stations, radius_m }
    }

    /// The radius in metres.
    #[must_use]
    pub fn radius_m(&self) -> u32 {
        self.radius_m
    }

    /// The stations within the radius of `position`, with the distance in whole metres, rounded down.
    pub fn around(&self, position: LatLng) -> impl Iterator<Item = (StationId, i32)> {
        // A degree of latitude is at least 110,570 m long.
        let reach = f64::from(self.radius_m) / 110_570.0;
        let first = self.stations.partition_point(|(_, at)| at.latitude() < position.latitude() - reach);
        self.stations[first..]
            .iter()
            .take_while(move |(_, at)| at.latitude() <= position.latitude() + reach)
            .filter_map(move |(id, center)| {
                let distance_m = Circle { center: *center, radius_m: self.radius_m }.distance_m(position)?;
                #[expect(clippy::cast_possible_truncation, reason = "a distance within a radius, to be rounded down")]
                let whole = distance_m as i32;
                Some((*id, whole))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_stations_within_the_radius_are_found() {
        let at = |latitude| LatLng::new(latitude, 127.0).unwrap();
        let stations = vec![(StationId(1), at(37.5)), (StationId(2), at(37.51)), (StationId(3), at(37.6))];
        let map = StationMap::new(stations, 1000);

        let mut around: Vec<_> = map.around(at(37.505)).collect();

        around.sort_unstable();
        assert_eq!(around, [(StationId(1), 554), (StationId(2), 554)]);
    }
}
