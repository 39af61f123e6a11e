//! The content of a world around stations, and of the tables, as comparable lines.

use std::collections::{BTreeMap, BTreeSet};

use sanggwond::domain::geo::{Area, Circle};
use sanggwond::domain::place::Place;
use sanggwond::domain::station::Station;
use sanggwond::standin::{Search, World};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::support::Stage;

/// `crawl.keywords` by default.
pub(crate) const ALL_KEYWORDS: &str = "스터디룸,식당,카페,호프,헬스클럽,도서관,공원,미술관,애견카페,셀프사진";

/// Places with their content, the keywords that find them, and the stations that they are near.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) places: BTreeSet<String>,
    pub(crate) links: BTreeSet<String>,
    pub(crate) listings: BTreeSet<String>,
}

impl Held {
    /// The first `shown` matches of every keyword within 1000 m of every station, in the order of the API.
    pub(crate) fn shown_by(world: &World, stations: &[Station], shown: usize) -> Self {
        let mut held = Self::default();
        let mut found: BTreeMap<(&str, &str), &Place> = BTreeMap::new();
        let circle = |station: &Station| Circle { center: station.position, radius_m: 1000 };
        for station in stations {
            for keyword in ALL_KEYWORDS.split(',') {
                let area = Some(Area::Circle(circle(station)));
                let search = Search { query: Some(keyword.to_owned()), area, ..Search::default() };
                for one in world.search(&search).into_iter().take(shown) {
                    found.insert((one.place.id.as_str(), keyword), &one.place);
                }
            }
        }
        for ((id, keyword), place) in found {
            held.places.insert(line(place));
            held.links.insert(format!("{id}|{keyword}"));
            for station in stations {
                if let Some(distance_m) = circle(station).distance_m(place.position) {
                    let (name, longitude) = (&station.name, station.position.longitude());
                    held.listings.insert(format!("{name}@{longitude}|{keyword}|{id}|{}", distance_m.floor()));
                }
            }
        }
        held
    }

    /// The content of the tables, without dropped matches and listings.
    pub(crate) async fn stored(stage: &Stage) -> Self {
        let set = |rows: Vec<String>| rows.into_iter().collect();
        let places = sqlx::query("select * from place").fetch_all(stage.pool()).await.unwrap();
        let links = "select format('%s|%s', place_id, query) from place_keyword join keyword using (keyword_id)
             where gone_at is null";
        let listings = "select format('%s@%s|%s|%s|%s', s.name, s.longitude, k.query, l.place_id, l.distance_m)
             from listing l join station s using (station_id) join keyword k using (keyword_id) where gone_at is null";
        Self {
            places: places.iter().map(row_line).collect(),
            links: set(stage.texts(links).await),
            listings: set(stage.texts(listings).await),
        }
    }
}

/// A place of a world as a line.
pub(crate) fn line(place: &Place) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let texts = [&place.category_name, &place.category_group_code, &place.phone, &place.address, &place.road_address];
    let texts = texts.map(text).join("|");
    let (latitude, longitude) = (place.position.latitude(), place.position.longitude());
    format!("{}|{}|{texts}|{latitude:?}|{longitude:?}|{}", place.id, place.name, text(&place.url))
}

/// A row of `place` in the same format.
fn row_line(row: &PgRow) -> String {
    let text = |column: &str| row.get::<Option<String>, _>(column).unwrap_or_else(|| "-".to_owned());
    let texts = ["place_id", "name", "category_name", "category_group_code", "phone", "address", "road_address"];
    let degrees = |column| row.get::<f64, _>(column);
    format!("{}|{:?}|{:?}|{}", texts.map(text).join("|"), degrees("latitude"), degrees("longitude"), text("url"))
}

/// Expects two sets to be equal; the message shows up to three differences of each kind.
#[track_caller]
pub(crate) fn same(what: &str, stored: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let missing: Vec<_> = expected.difference(stored).take(3).collect();
    let invented: Vec<_> = stored.difference(expected).take(3).collect();
    assert!(missing.is_empty() && invented.is_empty(), "{what}: missing {missing:#?}, invented {invented:#?}");
}
