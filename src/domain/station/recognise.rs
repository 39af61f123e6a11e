//! Matches the stations of a station file with the stored stations, so that they keep their ids.

use std::collections::HashMap;

use super::{SAME_STATION_M, Station, StationId, StoredStation};
use crate::domain::geo::{Circle, Rect};
use crate::domain::grid::Grid;

/// A station that is missing in the new file and a new one within this distance, in metres, are a renamed station.
const RENAMED_WITHIN_M: u32 = 100;

/// Maximum number of stored stations that are considered for a station. With more of them nearby, a match is arbitrary anyway.
const MAX_CANDIDATES: usize = 64;

/// Finds the stored station for each station of a file, in the order of `wanted`.
///
/// A stored station (retired or not) with the same name within 500 m is the same station; the nearest pairs are matched first.
/// Then a stored station that is missing in the file and a new one within 100 m are matched as a rename.
#[must_use]
pub fn recognise(stored: &[StoredStation], wanted: &[Station]) -> Vec<Option<StationId>> {
    let mut pairing = Pairing { stored, wanted, ids: vec![None; wanted.len()], is_taken: vec![false; stored.len()] };
    pairing.pair(SAME_STATION_M, |station| Some(station.name.as_str()), |_| true);
    pairing.pair(RENAMED_WITHIN_M, |_| None, |old| !old.is_retired);
    pairing.ids
}

/// The pairs found so far.
struct Pairing<'a> {
    stored: &'a [StoredStation],
    wanted: &'a [Station],
    ids: Vec<Option<StationId>>,
    is_taken: Vec<bool>,
}

impl<'a> Pairing<'a> {
    /// Pairs the unmatched stations with the same key, the nearest first.
    fn pair(
        &mut self,
        within_m: u32,
        key: impl Fn(&'a Station) -> Option<&'a str>,
        may_pair: impl Fn(&StoredStation) -> bool,
    ) {
        let mut pairs = self.candidates(within_m, key, may_pair);
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        for (_, old, new) in pairs {
            if self.ids[new].is_none() && !self.is_taken[old] {
                self.ids[new] = Some(self.stored[old].id);
                self.is_taken[old] = true;
            }
        }
    }

    /// Distance, stored station and wanted station of every pair within the distance.
    fn candidates(
        &self,
        within_m: u32,
        key: impl Fn(&'a Station) -> Option<&'a str>,
        may_pair: impl Fn(&StoredStation) -> bool,
    ) -> Vec<(f64, usize, usize)> {
        let mut by_key: HashMap<Option<&str>, Vec<usize>> = HashMap::new();
        for (old, known) in self.stored.iter().enumerate() {
            if !self.is_taken[old] && may_pair(known) {
                by_key.entry(key(&known.station)).or_default().push(old);
            }
        }
        let position = |old: usize| self.stored[old].station.position;
        let grid =
            |numbers: &Vec<usize>| Grid::new(numbers.iter().map(|old| (*old, position(*old))), f64::from(within_m));
        let grids: HashMap<Option<&str>, Grid> = by_key.iter().map(|(key, numbers)| (*key, grid(numbers))).collect();
        let mut pairs = Vec::new();
        for (new, station) in self.wanted.iter().enumerate().filter(|(new, _)| self.ids[*new].is_none()) {
            let Some(grid) = grids.get(&key(station)) else { continue };
            let around = Circle { center: station.position, radius_m: within_m };
            let near = grid.near(Rect::at(station.position), f64::from(within_m)).flatten();
            let near = near.filter_map(|old| Some((around.distance_m(position(*old))?, *old, new)));
            pairs.extend(near.take(MAX_CANDIDATES));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geo::LatLng;

    fn station(name: &str, latitude: f64, longitude: f64) -> Station {
        let position = LatLng::new(latitude, longitude).unwrap();
        Station { name: name.to_owned(), region: "수도권".to_owned(), lines: vec!["1호선".to_owned()], position }
    }

    fn stored(id: i32, station: Station) -> StoredStation {
        StoredStation { id: StationId(id), station, is_retired: false }
    }

    #[test]
    fn a_station_is_recognised_by_name_and_position() {
        let known = [stored(1, station("신촌역", 37.5552, 126.9369)), stored(2, station("신촌역", 37.5597, 126.9425))];
        let wanted = [station("신촌역", 37.5598, 126.9425), station("신촌역", 37.5551, 126.9369)];

        assert_eq!(recognise(&known, &wanted), [Some(StationId(2)), Some(StationId(1))]);
    }

    #[test]
    fn a_retired_station_that_returns_keeps_its_id() {
        let mut known = stored(7, station("가능역", 37.748, 127.044));
        known.is_retired = true;

        assert_eq!(recognise(&[known], &[station("가능역", 37.748, 127.0441)]), [Some(StationId(7))]);
    }

    #[test]
    fn a_missing_name_and_a_new_one_at_the_same_position_are_a_rename() {
        let known = [stored(3, station("성내역", 37.52, 127.1))];

        assert_eq!(recognise(&known, &[station("잠실나루역", 37.5201, 127.1)]), [Some(StationId(3))]);
        assert_eq!(recognise(&known, &[station("잠실나루역", 37.5211, 127.1)]), [None]);
    }

    #[test]
    fn a_new_station_does_not_take_the_id_of_a_neighbour_that_still_exists() {
        let known = [stored(3, station("성내역", 37.52, 127.1))];
        let wanted = [station("잠실나루역", 37.52, 127.1), station("성내역", 37.52, 127.1)];

        assert_eq!(recognise(&known, &wanted), [None, Some(StationId(3))]);
    }

    #[test]
    fn fifty_thousand_stations_are_recognised_and_as_many_renamed() {
        // In a row, 110 m apart, all at one latitude, where sorting by latitude would not help.
        let line = |prefix: &str| -> Vec<Station> {
            (0..50_000).map(|nth| station(&format!("{prefix}{nth}"), 37.5, 77.0 + f64::from(nth) * 0.001_25)).collect()
        };
        let known: Vec<StoredStation> = (0..).zip(line("가")).map(|(id, station)| stored(id, station)).collect();
        let ids: Vec<Option<StationId>> = (0..50_000).map(|id| Some(StationId(id))).collect();

        assert_eq!(recognise(&known, &line("가")), ids, "same names");
        assert_eq!(recognise(&known, &line("나")), ids, "other names at the same positions");
    }

    #[test]
    fn many_renamed_stations_at_one_position_are_matched_quickly() {
        let crowd = |prefix: &str| (0..50_000).map(|nth| station(&format!("{prefix}{nth}"), 37.5, 127.0)).collect();
        let known: Vec<StoredStation> =
            (0..).zip::<Vec<Station>>(crowd("가")).map(|(id, one)| stored(id, one)).collect();

        assert_eq!(recognise(&known, &crowd("나")).len(), 50_000);
    }
}
