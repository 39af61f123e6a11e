//! The positions of places: dense around busy stations, in clusters and buildings, and a few far away from all stations.

use std::f64::consts::TAU;

use super::Draw;
use crate::domain::geo::LatLng;
use crate::domain::station::Station;
use crate::standin::chance::Chance;
use crate::standin::ruler;

/// Stations with many more places than usual, and the factor.
const BUSY: [(&str, f64); 18] = [
    ("강남역", 9.0),
    ("홍대입구역", 9.0),
    ("서면역", 8.0),
    ("건대입구역", 6.0),
    ("명동역", 6.0),
    ("반월당역", 6.0),
    ("해운대역", 6.0),
    ("성수역", 5.0),
    ("종로3가역", 5.0),
    ("잠실역", 5.0),
    ("부평역", 5.0),
    ("수원역", 5.0),
    ("중앙로역", 5.0),
    ("신촌역", 4.0),
    ("신림역", 4.0),
    ("사당역", 4.0),
    ("이태원역", 4.0),
    ("서현역", 4.0),
];

/// Stations within this distance, in metres, make an area urban.
const TOWN_M: f64 = 2500.0;

/// The maximum distance of places from their station in metres, except the few that are far away.
const REACH_M: f64 = 1300.0;

/// The area around one station.
#[derive(Debug)]
pub(super) struct Site {
    center: LatLng,
    clusters: Vec<LatLng>,
    buildings: Vec<(u64, LatLng)>,
    /// The station's name without 역, for names and addresses.
    pub(super) stem: String,
    /// The area code of phone numbers.
    pub(super) area_code: &'static str,
    district: String,
}

/// The areas around all stations.
#[derive(Debug)]
pub(super) struct Sites {
    sites: Vec<Site>,
    /// The cumulative weights of the sites.
    ends: Vec<f64>,
}

/// The location of one place.
#[derive(Debug)]
pub(super) struct Location<'a> {
    /// The area around a station.
    pub(super) site: &'a Site,
    /// The exact position.
    pub(super) position: LatLng,
    /// The building, if it is shared with other places.
    pub(super) building: Option<u64>,
}

/// The two addresses of a place.
#[derive(Debug)]
pub(super) struct Address {
    /// The lot-number address.
    pub(super) by_lot: String,
    /// The road-name address; not every place has one.
    pub(super) by_road: Option<String>,
}

impl Sites {
    /// Generates the areas around stations.
    pub(super) fn around(seed: u64, stations: &[Station]) -> Self {
        let mut sum = 0.0;
        let mut sites = Self { sites: Vec::new(), ends: Vec::new() };
        for (number, station) in (0..).zip(stations) {
            let mut chance = Chance::of(&[seed, Draw::Site as u64, number]);
            sum += weight(station, stations, &mut chance);
            sites.ends.push(sum);
            sites.sites.push(Site::around(station, number, &mut chance));
        }
        sites
    }

    /// Draws the location of a place. There must be at least one site.
    pub(super) fn locate(&self, chance: &mut Chance) -> Location<'_> {
        let drawn = chance.between(0.0, self.ends.last().copied().unwrap_or_default());
        let position = self.ends.partition_point(|end| *end <= drawn).min(self.sites.len() - 1);
        let site = &self.sites[position];
        let (from, distance_m, building) = match chance.fraction() {
            share if share < 0.12 => {
                let (building, at) = site.buildings[index(chance, site.buildings.len())];
                (at, chance.between(0.0, 8.0), Some(building))
            }
            share if share < 0.60 => {
                let scatter_m = -70.0 * (1.0 - chance.fraction()).ln();
                (site.clusters[index(chance, site.clusters.len())], scatter_m, None)
            }
            share if share < 0.97 => (site.center, REACH_M * chance.fraction().sqrt(), None),
            _ => (site.center, chance.between(2.0, 6.0) * REACH_M, None),
        };
        Location { site, position: shift(from, distance_m, chance), building }
    }
}

impl Site {
    fn around(station: &Station, number: u64, chance: &mut Chance) -> Self {
        let center = station.position;
        let clusters = (0..3 + chance.below(5)).map(|_| {
            let distance_m = chance.between(60.0, 850.0);
            shift(center, distance_m, chance)
        });
        let clusters = clusters.collect();
        let buildings = (0..=u64::from(chance.below(4))).map(|nth| {
            let distance_m = chance.between(40.0, 700.0);
            (number * 8 + nth, shift(center, distance_m, chance))
        });
        let buildings = buildings.collect();
        let stem = station.name.split('(').next().unwrap_or_default().trim_end_matches('역').to_owned();
        let (area_code, district) = district(station);
        Self { center, clusters, buildings, stem, area_code, district }
    }

    /// Draws the addresses of a place.
    pub(super) fn address(&self, chance: &mut Chance) -> Address {
        let (district, stem) = (&self.district, &self.stem);
        let by_lot = format!("{district} {stem}동 {}-{}", 1 + chance.below(900), 1 + chance.below(40));
        let number = 1 + chance.below(200);
        let road = match chance.below(3) {
            0 => format!("{district} {stem}로 {number}"),
            1 => format!("{district} {stem}대로 {number}"),
            _ => format!("{district} {stem}로{}길 {number}", 1 + chance.below(80)),
        };
        Address { by_lot, by_road: chance.happens(0.93).then_some(road) }
    }
}

/// Moves a position by 5 to 60 m.
pub(super) fn step(from: LatLng, chance: &mut Chance) -> LatLng {
    let distance_m = chance.between(5.0, 60.0);
    shift(from, distance_m, chance)
}

/// The position at a distance in a random direction.
fn shift(from: LatLng, distance_m: f64, chance: &mut Chance) -> LatLng {
    let (east, north) = chance.between(0.0, TAU).sin_cos();
    let latitude = from.latitude() + north * distance_m / 111_000.0;
    let longitude = from.longitude() + east * distance_m / (111_320.0 * from.latitude().to_radians().cos().max(0.01));
    // The API returns this many decimals.
    let round = |degrees: f64, digits: f64| (degrees * digits).round() / digits;
    let (latitude, longitude) = (round(latitude, 1e13).clamp(-90.0, 90.0), round(longitude, 1e12).clamp(-180.0, 180.0));
    LatLng::new(latitude, longitude).expect("both were clamped")
}

/// The relative number of places around a station.
fn weight(station: &Station, stations: &[Station], chance: &mut Chance) -> f64 {
    let is_near = |other: &&Station| {
        (other.position.latitude() - station.position.latitude()).abs() < 0.025
            && ruler::distance_m(station.position, other.position) < TOWN_M
    };
    // The station itself is in the list.
    let neighbours = stations.iter().filter(is_near).take(12).map(|_| 1.0).sum::<f64>() - 1.0;
    let lines = station.lines.iter().take(4).map(|_| 1.0).sum::<f64>().max(1.0);
    let luck = 0.3 + 2.0 * chance.fraction().powi(2);
    let fame = BUSY.iter().find(|(name, _)| *name == station.name).map_or(1.0, |(_, times)| times / luck);
    (0.05 + 0.1 * neighbours) * luck * fame * lines.sqrt()
}

/// The area code and the beginning of addresses around a station.
fn district(station: &Station) -> (&'static str, String) {
    let (latitude, longitude) = (station.position.latitude(), station.position.longitude());
    let is_seoul = (37.43..37.70).contains(&latitude) && (126.80..127.18).contains(&longitude);
    let (area_code, province, districts): (_, _, &[&str]) = match station.region.as_str() {
        "수도권" if is_seoul => {
            ("02", "서울", &["강남구", "마포구", "서초구", "송파구", "종로구", "중구", "관악구"])
        }
        "수도권" if longitude < 126.80 => ("032", "인천", &["부평구", "남동구", "미추홀구", "연수구", "계양구"]),
        "수도권" => ("031", "경기", &["수원시 팔달구", "성남시 분당구", "고양시 덕양구", "용인시 기흥구", "양평군"]),
        "부산" => ("051", "부산", &["부산진구", "해운대구", "동래구", "사하구", "중구"]),
        "대구" => ("053", "대구", &["중구", "수성구", "달서구", "동구"]),
        "광주" => ("062", "광주", &["서구", "동구", "광산구", "북구"]),
        "대전" => ("042", "대전", &["중구", "서구", "유성구", "동구"]),
        region => ("070", region, &["중구", "동구", "서구"]),
    };
    // Nearby stations are in the same district.
    let square = [latitude, longitude].map(|degrees| (degrees * 25.0).floor().to_bits());
    let district = Chance::of(&square).one_of(districts);
    (area_code, format!("{province} {district}"))
}

fn index(chance: &mut Chance, len: usize) -> usize {
    chance.below(u32::try_from(len).unwrap_or(u32::MAX)) as usize
}
