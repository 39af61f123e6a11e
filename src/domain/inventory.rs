//! The stations, keywords and radius of the crawl: as configured, as stored, and the difference.
//!
//! Opening a run makes the tables match its [`Inventory`]: every stored station and keyword that the inventory lacks is
//! retired. To keep something, it is first added to the inventory ([`Inventory::keeping`], [`Inventory::limited`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::keyword::{Keyword, KeywordId, StoredKeyword};
use super::station::{Station, StationId, StoredStation, recognise};

/// The stations and keywords to crawl.
#[derive(Clone, Debug, PartialEq)]
pub struct Inventory {
    /// The stations.
    pub stations: Vec<Station>,
    /// The keywords.
    pub keywords: Vec<Keyword>,
    /// The radius around a station, in metres.
    pub radius_m: u32,
}

/// The contents of the tables, including retired stations and keywords.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredInventory {
    /// The stations.
    pub stations: Vec<StoredStation>,
    /// The keywords.
    pub keywords: Vec<StoredKeyword>,
    /// The radius of the stored listings, in metres; `None` before the first run.
    pub radius_m: Option<u32>,
}

/// What storing an inventory adds and retires.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Names of the stations that are added or no longer retired.
    pub added_stations: Vec<String>,
    /// Keywords that are added or no longer retired.
    pub added_keywords: Vec<String>,
    /// The stations that are retired.
    pub retired_stations: Vec<(StationId, String)>,
    /// The keywords that are retired.
    pub retired_keywords: Vec<(KeywordId, String)>,
    /// The old and the new radius in metres, if it changes.
    pub radius_m: Option<(u32, u32)>,
}

impl StoredInventory {
    /// The stations that are not retired.
    pub fn live_stations(&self) -> impl Iterator<Item = &StoredStation> {
        self.stations.iter().filter(|station| !station.is_retired)
    }

    /// The keywords that are not retired.
    pub fn live_keywords(&self) -> impl Iterator<Item = &StoredKeyword> {
        self.keywords.iter().filter(|keyword| !keyword.is_retired)
    }
}

impl Inventory {
    /// Everything that is stored and not retired; `radius_m` is used before the first run.
    #[must_use]
    pub fn of(stored: &StoredInventory, radius_m: u32) -> Self {
        Self {
            stations: stored.live_stations().map(|known| known.station.clone()).collect(),
            keywords: stored.live_keywords().map(|known| known.keyword.clone()).collect(),
            radius_m: stored.radius_m.unwrap_or(radius_m),
        }
    }

    /// Adds everything that is stored and not retired: nothing is retired, and the radius does not shrink.
    #[must_use]
    pub fn keeping(&self, stored: &StoredInventory) -> Self {
        let mut kept = self.clone();
        let recognised: BTreeSet<StationId> =
            recognise(&stored.stations, &self.stations).into_iter().flatten().collect();
        let missing = stored.live_stations().filter(|known| !recognised.contains(&known.id));
        kept.stations.extend(missing.map(|known| known.station.clone()));
        let is_missing = |known: &&StoredKeyword| !self.has_keyword(known.keyword.query());
        kept.keywords.extend(stored.live_keywords().filter(is_missing).map(|known| known.keyword.clone()));
        kept.radius_m = self.radius_m.max(stored.radius_m.unwrap_or(0));
        kept
    }

    /// The inventory of a partial-scope run that is limited to `self`: everything that is stored and not retired, and the
    /// stations and keywords of `self` that are missing there. Nothing is retired, and positions, category groups and the
    /// radius stay as stored. Only the new name of a renamed station is used, because the scope of the run refers to it.
    #[must_use]
    pub fn limited(&self, stored: &StoredInventory) -> Self {
        let mut stations: Vec<Station> = Vec::new();
        let live: BTreeMap<StationId, &StoredStation> = stored.live_stations().map(|known| (known.id, known)).collect();
        let mut recognised = BTreeSet::new();
        for (wanted, id) in self.stations.iter().zip(recognise(&stored.stations, &self.stations)) {
            let known = id.and_then(|id| live.get(&id));
            recognised.extend(known.map(|known| known.id));
            stations.push(known.map_or_else(
                || wanted.clone(),
                |known| Station { name: wanted.name.clone(), ..known.station.clone() },
            ));
        }
        let others = stored.live_stations().filter(|known| !recognised.contains(&known.id));
        stations.extend(others.map(|known| known.station.clone()));
        let mut keywords: Vec<Keyword> = stored.live_keywords().map(|known| known.keyword.clone()).collect();
        let is_new = |wanted: &&Keyword| keywords.iter().all(|known| known.query() != wanted.query());
        let new: Vec<Keyword> = self.keywords.iter().filter(is_new).cloned().collect();
        keywords.extend(new);
        Self { stations, keywords, radius_m: stored.radius_m.unwrap_or(self.radius_m) }
    }

    fn has_keyword(&self, query: &str) -> bool {
        self.keywords.iter().any(|keyword| keyword.query() == query)
    }
}

impl Difference {
    /// Computes what changes when `wanted` is stored.
    #[must_use]
    pub fn between(stored: &StoredInventory, wanted: &Inventory) -> Self {
        let ids = recognise(&stored.stations, &wanted.stations);
        let live: BTreeSet<StationId> = stored.live_stations().map(|known| known.id).collect();
        let is_added = |id: Option<StationId>| id.is_none_or(|id| !live.contains(&id));
        let added = wanted.stations.iter().zip(&ids).filter(|(_, id)| is_added(**id));
        let is_in_use = |query: &str| stored.live_keywords().any(|known| known.keyword.query() == query);
        let added_keywords = wanted.keywords.iter().map(Keyword::query).filter(|query| !is_in_use(query));
        let wanted_ids: BTreeSet<StationId> = ids.iter().copied().flatten().collect();
        let retired = stored.live_stations().filter(|known| !wanted_ids.contains(&known.id));
        let retired_keywords = stored.live_keywords().filter(|known| !wanted.has_keyword(known.keyword.query()));
        Self {
            added_stations: added.map(|(station, _)| station.name.clone()).collect(),
            added_keywords: added_keywords.map(str::to_owned).collect(),
            retired_stations: retired.map(|known| (known.id, known.station.name.clone())).collect(),
            retired_keywords: retired_keywords.map(|known| (known.id, known.keyword.query().to_owned())).collect(),
            radius_m: stored.radius_m.filter(|from| *from != wanted.radius_m).map(|from| (from, wanted.radius_m)),
        }
    }

    /// Whether a station or a keyword is retired.
    #[must_use]
    pub fn retires(&self) -> bool {
        !self.retired_stations.is_empty() || !self.retired_keywords.is_empty()
    }

    /// Whether listings can be removed: something is retired, or the radius shrinks.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        self.retires() || self.radius_m.is_some_and(|(from, to)| to < from)
    }

    /// Whether a user who starts a run must confirm it.
    #[must_use]
    pub fn needs_consent(&self) -> bool {
        self.retires() || self.radius_m.is_some()
    }

    /// The names of the retired keywords and stations, keywords first.
    #[must_use]
    pub fn retired_names(&self) -> Vec<&str> {
        let keywords = self.retired_keywords.iter().map(|(_, query)| query.as_str());
        keywords.chain(self.retired_stations.iter().map(|(_, name)| name.as_str())).collect()
    }
}

/// The counts of what is removed: `9 keywords, 2 stations, the radius from 1000 m to 500 m`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |count: usize, noun: &str| match count {
            0 => None,
            1 => Some(format!("1 {noun}")),
            count => Some(format!("{count} {noun}s")),
        };
        let parts = [
            counted(self.retired_keywords.len(), "keyword"),
            counted(self.retired_stations.len(), "station"),
            self.radius_m.map(|(from, to)| format!("the radius from {from} m to {to} m")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geo::LatLng;

    fn at(name: &str, latitude: f64) -> Station {
        let position = LatLng::new(latitude, 127.0).unwrap();
        Station { name: name.to_owned(), region: String::new(), lines: Vec::new(), position }
    }

    fn inventory(stations: &[(&str, f64)], keywords: &[&str], radius_m: u32) -> Inventory {
        Inventory {
            stations: stations.iter().map(|(name, latitude)| at(name, *latitude)).collect(),
            keywords: keywords.iter().map(|query| Keyword::new(query, None).unwrap()).collect(),
            radius_m,
        }
    }

    /// 강남 and 역삼 with two keywords; 잠실 and 공원 are retired.
    fn stored() -> StoredInventory {
        let station = |id, name, latitude, is_retired| StoredStation {
            id: StationId(id),
            station: at(name, latitude),
            is_retired,
        };
        let keyword = |id, query, is_retired| StoredKeyword {
            id: KeywordId(id),
            keyword: Keyword::new(query, None).unwrap(),
            is_retired,
        };
        StoredInventory {
            stations: vec![
                station(1, "강남역", 37.50, false),
                station(2, "역삼역", 37.51, false),
                station(3, "잠실역", 37.52, true),
            ],
            keywords: vec![keyword(1, "카페", false), keyword(2, "식당", false), keyword(3, "공원", true)],
            radius_m: Some(1000),
        }
    }

    #[test]
    fn missing_stations_and_keywords_are_retired_and_returning_ones_are_added() {
        let wanted = inventory(&[("강남역", 37.50), ("잠실역", 37.52)], &["카페", "공원"], 500);

        let difference = Difference::between(&stored(), &wanted);

        assert_eq!(difference.added_stations, ["잠실역"]);
        assert_eq!(difference.added_keywords, ["공원"]);
        assert_eq!(difference.retired_names(), ["식당", "역삼역"]);
        assert_eq!(difference.to_string(), "1 keyword, 1 station, the radius from 1000 m to 500 m");
        assert!(difference.takes_away() && difference.needs_consent());
    }

    #[test]
    fn a_larger_radius_removes_nothing_but_must_be_confirmed() {
        let wanted = inventory(&[("강남역", 37.50), ("역삼역", 37.51)], &["카페", "식당"], 2000);

        let difference = Difference::between(&stored(), &wanted);

        assert!(!difference.takes_away() && difference.needs_consent());
    }

    #[test]
    fn the_first_run_removes_nothing() {
        let wanted = inventory(&[("강남역", 37.50)], &["카페"], 1000);

        assert!(!Difference::between(&StoredInventory::default(), &wanted).needs_consent());
    }

    #[test]
    fn keeping_the_stored_inventory_retires_nothing_and_adds_new_names() {
        let wanted = inventory(&[("선릉역", 37.60)], &["도서관"], 500);

        let kept = Difference::between(&stored(), &wanted.keeping(&stored()));

        assert!(!kept.needs_consent());
        assert_eq!((kept.added_stations, kept.added_keywords), (vec!["선릉역".to_owned()], vec!["도서관".to_owned()]));
    }

    #[test]
    fn a_partial_scope_run_moves_no_station_and_changes_no_keyword_or_radius() {
        let mut wanted = inventory(&[("강남역", 37.503)], &["카페"], 500);
        wanted.keywords = vec![Keyword::new("카페", Some("CE7")).unwrap()];

        let limited = wanted.limited(&stored());

        assert_eq!(limited.stations, [at("강남역", 37.50), at("역삼역", 37.51)]);
        assert_eq!(limited.keywords, inventory(&[], &["카페", "식당"], 0).keywords);
        assert_eq!(limited.radius_m, 1000);
    }

    #[test]
    fn a_partial_scope_run_restores_retired_names_that_it_needs_and_renames_its_stations() {
        let wanted = inventory(&[("잠실역", 37.52), ("강남중앙역", 37.5001)], &["공원"], 1000);

        let limited = wanted.limited(&stored());
        let difference = Difference::between(&stored(), &limited);

        assert_eq!(
            (difference.added_stations.as_slice(), difference.added_keywords.as_slice()),
            (["잠실역".to_owned()].as_slice(), ["공원".to_owned()].as_slice())
        );
        assert!(!difference.needs_consent());
        assert!(limited.stations.contains(&at("강남중앙역", 37.50)), "{limited:?}");
    }
}
