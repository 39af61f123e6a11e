//! Stations, how rows of a station file become stations, and how those keep their ids over the years.

use std::collections::BTreeMap;

use super::geo::{Circle, LatLng};

/// Rows of one name within this distance are platforms of one station.
const SAME_STATION_M: f64 = 500.0;

/// A vanished station and a new one within this distance are one station that was renamed.
const RENAMED_WITHIN_M: f64 = 100.0;

/// The key of a stored station.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationId(pub i32);

/// One row of a station file: a station on one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// The name on the sign.
    pub name: String,
    /// The network it belongs to, such as `수도권`.
    pub region: String,
    /// Where the platform is.
    pub position: LatLng,
    /// The line that stops here.
    pub line: String,
}

/// A place to get on a train, transfer lines merged.
#[derive(Clone, Debug, PartialEq)]
pub struct Station {
    /// The name on the sign.
    pub name: String,
    /// The network it belongs to, such as `수도권`.
    pub region: String,
    /// The lines that stop here, sorted.
    pub lines: Vec<String>,
    /// The mean of its platforms' positions.
    pub position: LatLng,
}

/// A station as the database knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredStation {
    /// Its key.
    pub id: StationId,
    /// Its facts of the last file that had it.
    pub station: Station,
    /// Whether it was gone from the last file.
    pub is_retired: bool,
}

/// Merges rows into stations: rows of one name, each within 500 m of another one, are one station.
///
/// The result does not depend on the order of the rows.
#[must_use]
pub fn merge(platforms: Vec<Platform>) -> Vec<Station> {
    let mut by_name: BTreeMap<String, Vec<Platform>> = BTreeMap::new();
    for platform in platforms {
        by_name.entry(platform.name.clone()).or_default().push(platform);
    }
    by_name.into_values().flat_map(clusters).map(merge_cluster).collect()
}

/// Groups the platforms of one name by distance, in an order of their own.
fn clusters(mut platforms: Vec<Platform>) -> Vec<Vec<Platform>> {
    platforms.sort_by(|a, b| {
        let degrees = |p: &Platform| (p.position.latitude(), p.position.longitude());
        degrees(a).0.total_cmp(&degrees(b).0).then(degrees(a).1.total_cmp(&degrees(b).1)).then(a.line.cmp(&b.line))
    });
    let mut clusters: Vec<Vec<Platform>> = Vec::new();
    for platform in platforms {
        let is_near = |cluster: &Vec<Platform>| {
            cluster.iter().any(|other| other.position.distance_m(platform.position) <= SAME_STATION_M)
        };
        let (near, far): (Vec<_>, Vec<_>) = clusters.into_iter().partition(is_near);
        clusters = far;
        clusters.push(near.into_iter().flatten().chain([platform]).collect());
    }
    clusters
}

/// Makes one station of its platforms. Regions that disagree: the first in alphabetical order, so that it stays.
fn merge_cluster(mut cluster: Vec<Platform>) -> Station {
    cluster.sort_by(|a, b| (&a.line, &a.region).cmp(&(&b.line, &b.region)));
    let position = mean(cluster.iter().map(|platform| platform.position));
    let mut lines: Vec<String> = cluster.iter().map(|platform| platform.line.clone()).collect();
    lines.dedup();
    lines.retain(|line| !line.is_empty());
    let region = cluster.iter().map(|platform| &platform.region).min().cloned().unwrap_or_default();
    let name = cluster.swap_remove(0).name;
    Station { name, region, lines, position }
}

/// The mean of positions that lie close together, to the seventh decimal (a centimetre).
fn mean(positions: impl Iterator<Item = LatLng>) -> LatLng {
    let mut degrees: Vec<(f64, f64)> = positions.map(|position| (position.latitude(), position.longitude())).collect();
    // Sums of floats depend on their order.
    degrees.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    #[expect(clippy::cast_precision_loss, reason = "a station has a handful of platforms")]
    let count = degrees.len() as f64;
    let round = |sum: f64| (sum / count * 1e7).round() / 1e7;
    let (latitude, longitude) = degrees.iter().fold((0.0, 0.0), |sum, next| (sum.0 + next.0, sum.1 + next.1));
    LatLng::new(round(latitude), round(longitude)).expect("the mean of positions lies between them")
}

/// Finds for each station of a file the stored one that it is, in the order of `wanted`.
///
/// A stored station of the same name within 500 m is the same one, the nearest pairs first, retired ones included;
/// else one that vanished from the file and a new one within 100 m is a rename.
#[must_use]
pub fn recognise(stored: &[StoredStation], wanted: &[Station]) -> Vec<Option<StationId>> {
    let mut ids = vec![None; wanted.len()];
    let mut is_taken = vec![false; stored.len()];
    let same_name = |old: &StoredStation, new: &Station| old.station.name == new.name;
    let renamed = |old: &StoredStation, new: &Station| old.station.name != new.name && !old.is_retired;
    pair_up(stored, wanted, (&mut ids, &mut is_taken), SAME_STATION_M, same_name);
    pair_up(stored, wanted, (&mut ids, &mut is_taken), RENAMED_WITHIN_M, renamed);
    ids
}

/// Pairs what is still free on both sides, the nearest first.
fn pair_up(
    stored: &[StoredStation],
    wanted: &[Station],
    (ids, is_taken): (&mut [Option<StationId>], &mut [bool]),
    within_m: f64,
    may_pair: impl Fn(&StoredStation, &Station) -> bool,
) {
    let mut pairs = Vec::new();
    for (new, station) in wanted.iter().enumerate().filter(|(new, _)| ids[*new].is_none()) {
        for (old, known) in stored.iter().enumerate().filter(|(old, _)| !is_taken[*old]) {
            if may_pair(known, station) {
                pairs.push((known.station.position.distance_m(station.position), old, new));
            }
        }
    }
    pairs.retain(|(distance_m, ..)| *distance_m <= within_m);
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    for (_, old, new) in pairs {
        if ids[new].is_none() && !is_taken[old] {
            ids[new] = Some(stored[old].id);
            is_taken[old] = true;
        }
    }
}

/// Finds the stations around a position.
#[derive(Clone, Debug)]
pub struct StationMap {
    /// Sorted by latitude, so that the few candidates lie side by side.
    stations: Vec<(StationId, LatLng)>,
    radius_m: u32,
}

impl StationMap {
    /// Takes the live stations and the radius in which places belong to them.
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
        // A degree of latitude has at least 110,570 m.
        let reach = f64::from(self.radius_m) / 110_570.0;
        let first = self.stations.partition_point(|(_, at)| at.latitude() < position.latitude() - reach);
        self.stations[first..]
            .iter()
            .take_while(move |(_, at)| at.latitude() <= position.latitude() + reach)
            .filter_map(move |(id, center)| {
                let distance_m = Circle { center: *center, radius_m: self.radius_m }.distance_m(position)?;
                #[expect(clippy::cast_possible_truncation, reason = "a distance within a radius; floor is meant")]
                let whole = distance_m as i32;
                Some((*id, whole))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(name: &str, latitude: f64, longitude: f64, line: &str) -> Platform {
        let position = LatLng::new(latitude, longitude).unwrap();
        Platform { name: name.to_owned(), region: "수도권".to_owned(), position, line: line.to_owned() }
    }

    fn station(name: &str, latitude: f64, longitude: f64) -> Station {
        merge(vec![platform(name, latitude, longitude, "1호선")]).remove(0)
    }

    fn stored(id: i32, station: Station) -> StoredStation {
        StoredStation { id: StationId(id), station, is_retired: false }
    }

    #[test]
    fn transfer_lines_within_500_m_are_one_station_at_their_mean() {
        let stations = merge(vec![
            platform("서울역", 37.553, 126.97, "4호선"),
            platform("서울역", 37.555, 126.972, "1호선"),
            platform("서울역", 37.554, 126.971, "1호선"),
        ]);

        assert_eq!(stations.len(), 1);
        assert_eq!(stations[0].lines, ["1호선", "4호선"]);
        assert_eq!(stations[0].position, LatLng::new(37.554, 126.971).unwrap());
    }

    #[test]
    fn one_name_far_apart_is_two_stations() {
        let stations = merge(vec![
            platform("신촌역", 37.5552, 126.9369, "2호선"),
            platform("신촌역", 37.5597, 126.9425, "경의중앙선"),
        ]);

        assert_eq!(stations.len(), 2);
    }

    #[test]
    fn the_order_of_rows_changes_nothing() {
        // The outer two are 800 m apart: only the middle one, which comes last, joins them.
        let mut rows = vec![
            platform("서울역", 37.550, 126.970, "1호선"),
            platform("서울역", 37.5572, 126.970, "4호선"),
            platform("서울역", 37.5536, 126.970, "공항철도"),
        ];
        let merged = merge(rows.clone());
        rows.rotate_left(1);

        assert_eq!(merged.len(), 1);
        assert_eq!(merge(rows), merged);
    }

    #[test]
    fn a_station_is_recognised_by_name_and_place() {
        let known = [stored(1, station("신촌역", 37.5552, 126.9369)), stored(2, station("신촌역", 37.5597, 126.9425))];
        let wanted = [station("신촌역", 37.5598, 126.9425), station("신촌역", 37.5551, 126.9369)];

        assert_eq!(recognise(&known, &wanted), [Some(StationId(2)), Some(StationId(1))]);
    }

    #[test]
    fn a_retired_station_comes_back_under_its_id() {
        let mut known = stored(7, station("가능역", 37.748, 127.044));
        known.is_retired = true;

        assert_eq!(recognise(&[known], &[station("가능역", 37.748, 127.0441)]), [Some(StationId(7))]);
    }

    #[test]
    fn a_vanished_name_and_a_new_one_at_the_same_place_are_a_rename() {
        let known = [stored(3, station("성내역", 37.52, 127.1))];

        assert_eq!(recognise(&known, &[station("잠실나루역", 37.5201, 127.1)]), [Some(StationId(3))]);
        assert_eq!(recognise(&known, &[station("잠실나루역", 37.5211, 127.1)]), [None]);
    }

    #[test]
    fn a_new_neighbour_takes_no_id_from_a_station_that_is_still_there() {
        let known = [stored(3, station("성내역", 37.52, 127.1))];
        let wanted = [station("잠실나루역", 37.52, 127.1), station("성내역", 37.52, 127.1)];

        assert_eq!(recognise(&known, &wanted), [None, Some(StationId(3))]);
    }

    #[test]
    fn a_place_lies_around_every_station_within_the_radius() {
        let at = |latitude| LatLng::new(latitude, 127.0).unwrap();
        let stations = vec![(StationId(1), at(37.5)), (StationId(2), at(37.51)), (StationId(3), at(37.6))];
        let map = StationMap::new(stations, 1000);

        let mut around: Vec<_> = map.around(at(37.505)).collect();

        around.sort_unstable();
        assert_eq!(around, [(StationId(1), 554), (StationId(2), 554)]);
    }
}
