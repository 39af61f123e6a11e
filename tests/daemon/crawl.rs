//! The crawl from the stations to the rows.

use std::collections::{BTreeMap, BTreeSet};

use sanggwond::domain::geo::{Circle, LatLng};
use sanggwond::standin::{Area, DEMO_PLACES, Recipe, Search, Standin, World};
use sanggwond::stations;
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::support::Stage;
use crate::support::ground::{self, place};

const ALL_KEYWORDS: &str = "스터디룸,식당,카페,호프,헬스클럽,도서관,공원,미술관,애견카페,셀프사진";

/// What the tables should hold, in comparable lines.
#[derive(Debug, Default)]
struct Expected {
    places: BTreeSet<String>,
    listings: BTreeSet<String>,
    seen_by: BTreeSet<String>,
}

/// What a crawl of the world with 1,000 m around every station must leave behind.
fn expected(world: &World, stations: &[(String, LatLng)], keywords: &[&str]) -> Expected {
    let mut found: BTreeMap<(&str, &str), &sanggwond::domain::place::Place> = BTreeMap::new();
    for (_, center) in stations {
        for keyword in keywords {
            let area = Area::Circle(Circle { center: *center, radius_m: 1000 });
            let search = Search { query: Some((*keyword).to_owned()), area: Some(area), ..Search::default() };
            for shown in world.search(&search).into_iter().take(45) {
                found.insert((shown.place.id.as_str(), keyword), &shown.place);
            }
        }
    }
    let mut expected = Expected::default();
    for ((id, keyword), place) in found {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        expected.places.insert(format!(
            "{id}|{}|{}|{}|{}|{}|{}|{:?}|{:?}|{}",
            place.name,
            text(&place.category_name),
            text(&place.category_group_code),
            text(&place.phone),
            text(&place.address),
            text(&place.road_address),
            place.position.latitude(),
            place.position.longitude(),
            text(&place.url)
        ));
        expected.seen_by.insert(format!("{id}|{keyword}"));
        for (name, center) in stations {
            let distance_m = center.distance_m(place.position);
            if distance_m <= 1000.0 {
                expected.listings.insert(format!("{name}|{keyword}|{id}|{}", distance_m.floor()));
            }
        }
    }
    expected
}

/// Compares two sets and names a few differences.
#[track_caller]
fn same(what: &str, stored: &BTreeSet<String>, expected: &BTreeSet<String>) {
    let missing: Vec<_> = expected.difference(stored).take(3).collect();
    let invented: Vec<_> = stored.difference(expected).take(3).collect();
    assert!(missing.is_empty() && invented.is_empty(), "{what}: missing {missing:#?}, invented {invented:#?}");
}

async fn stored(stage: &Stage) -> Expected {
    let lines = |rows: Vec<String>| rows.into_iter().collect();
    let places = sqlx::query("select * from place").fetch_all(stage.pool()).await.unwrap();
    let text = |row: &PgRow, column: &str| row.get::<Option<String>, _>(column).unwrap_or_else(|| "-".to_owned());
    let line = |row: &PgRow| {
        let texts = ["place_id", "name", "category_name", "category_group_code", "phone", "address", "road_address"];
        let texts = texts.map(|column| text(row, column)).join("|");
        let degrees = |column| row.get::<f64, _>(column);
        format!("{texts}|{:?}|{:?}|{}", degrees("latitude"), degrees("longitude"), text(row, "url"))
    };
    Expected {
        places: places.iter().map(line).collect(),
        listings: lines(
            stage
                .texts(
                    "select format('%s@%s|%s|%s|%s', s.name, s.longitude, k.query, l.place_id, l.distance_m) from listing l
                     join station s using (station_id) join keyword k using (keyword_id)",
                )
                .await,
        ),
        seen_by: lines(
            stage
                .texts("select format('%s|%s', place_id, query) from place_keyword join keyword using (keyword_id)")
                .await,
        ),
    }
}

/// The versions of all rows that a rerun must not touch.
async fn row_versions(stage: &Stage) -> Vec<String> {
    stage
        .texts(
            "select format('place %s %s %s', place_id, xmin, ctid) from place
             union all select format('listing %s %s %s %s %s', station_id, keyword_id, place_id, xmin, ctid) from listing
             order by 1",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_stations_and_keywords_leave_exactly_what_the_world_holds() {
    let (stations, _) = stations::load(None).unwrap();
    let world = || World::generate(&Recipe { seed: 7, week: 0, places: DEMO_PLACES }, &stations);
    let stage = Stage::new(world(), "").await;

    let everything = || stage.program(&["crawl"]).unset("SANGGWOND_CRAWL__STATIONS").set("SANGGWOND_CRAWL__KEYWORDS", ALL_KEYWORDS);
    everything().finish().await.expect_code(0);

    let keywords: Vec<&str> = ALL_KEYWORDS.split(',').collect();
    let at = |station: &sanggwond::domain::station::Station| {
        (format!("{}@{}", station.name, station.position.longitude()), station.position)
    };
    let expected = expected(&world(), &stations.iter().map(at).collect::<Vec<_>>(), &keywords);
    let stored = stored(&stage).await;
    assert_eq!(stations.len(), 941);
    assert!(expected.places.len() > 30_000, "{} places are no test", expected.places.len());
    same("place", &stored.places, &expected.places);
    same("place_keyword", &stored.seen_by, &expected.seen_by);
    same("listing", &stored.listings, &expected.listings);
    assert_eq!(stage.value::<i32>("select cells_done from crawl_run").await, 9410);
    assert!(stage.standin.peak_in_flight() <= 5, "{} requests in flight", stage.standin.peak_in_flight());

    let before = row_versions(&stage).await;
    everything().finish().await.expect_code(0);

    assert!(before == row_versions(&stage).await, "a rerun over an unchanged world has written places or listings");
    assert_eq!(stage.value::<i32>("select max(places_new + places_changed) from crawl_run where crawl_run_id = 2").await, 0);
    assert_eq!(
        stage.value::<bool>("select bool_and(last_seen_run = 2) from place_keyword").await,
        true,
        "every place was seen again"
    );
}
