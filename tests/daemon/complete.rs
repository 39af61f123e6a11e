//! Complete coverage: every place around every station is found by searches in rectangles, however the places are
//! distributed.

use std::collections::{BTreeSet, HashSet};

use insta::assert_snapshot;
use sanggwond::domain::geo::LatLng;
use sanggwond::standin::{Fault, Recipe, StandinPlace, Switches, World};
use sanggwond::stations;

use crate::closings::NONE;
use crate::held::{ALL_KEYWORDS, Held, line, same};
use crate::support::Stage;
use crate::support::ledger::wrong_counters;
use crate::support::program::Program;
use crate::support::town::{KEYWORDS, STATIONS, place, places, world};

/// A station that is far from all others.
const ISLAND: &str = "섬역,수도권,33.5,126.5,1호선\n";

/// The listings as `keyword place`, whatever their station.
const LISTED: &str = "select distinct format('%s %s', query, place_id) from listing join keyword using (keyword_id)";

/// A place on the island.
const DOCUMENT: &str = r#"{"id":"1","place_name":"가게","x":"126.5","y":"33.5"}"#;

fn crawl(stage: &Stage) -> Program {
    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete")
}

async fn listed(stage: &Stage) -> BTreeSet<String> {
    stage.texts(LISTED).await.into_iter().collect()
}

/// The rows of `LISTED` for cafés with these ids.
fn cafes(ids: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    ids.into_iter().map(|id| format!("카페 {id}")).collect()
}

/// Number of requests of the last run per fifteen matches that its answers returned.
async fn requests_per_page(stage: &Stage) -> f64 {
    let ratio =
        "select requests * 15.0::float8 / (select count(*) from place_keyword where last_seen_run = crawl_run_id)
         from crawl_run order by crawl_run_id desc limit 1";
    stage.value(ratio).await
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_places_around_the_stations_are_found() {
    let (stations, _) = stations::load(None).unwrap();
    let world = |week| World::generate(&Recipe { seed: 7, week, places: 100_000 }, &stations);
    let stage = Stage::new(world(0), "").await;
    let everything = || crawl(&stage).unset("SANGGWOND_CRAWL__STATIONS").set("SANGGWOND_CRAWL__KEYWORDS", ALL_KEYWORDS);

    // In the second week the area is already known, so fewer requests are needed.
    let mut told = BTreeSet::new();
    for (week, most) in [(0, 1.45), (1, 1.12)] {
        let world = world(week);
        told.extend(world.places().iter().map(|one| line(&one.place)));
        let expected = Held::shown_by(&world, &stations, usize::MAX);
        let open: HashSet<String> = world.places().iter().map(|one| one.place.id.to_string()).collect();
        stage.standin.set_world(world);

        everything().finish().await.expect_code(0);

        let ratio = requests_per_page(&stage).await;
        assert!(ratio <= most, "{ratio} requests for fifteen hits in week {week}");
        let mut stored = Held::stored(&stage).await;
        assert!(expected.places.len() > 90_000, "{} places are no test", expected.places.len());
        // Places outside the circles are stored too, but not searched for every week. A stored place may therefore have
        // the content of an earlier week.
        assert_eq!(expected.places.difference(&stored.places).next(), None, "missing in week {week}");
        assert_eq!(stored.places.difference(&told).next(), None, "invented in week {week}");
        assert_eq!(expected.links.difference(&stored.links).next(), None, "missing in week {week}");
        // What has closed since the week before is still listed.
        stored.listings.retain(|line| line.split('|').nth(2).is_some_and(|id| open.contains(id)));
        same("listing", &stored.listings, &expected.listings);
    }
    let complete = "select count(*) from station_coverage where complete_at is not null";
    assert!(
        stage.value::<i64>(complete).await > 9300,
        "only a few stations may touch a rectangle that cannot be divided"
    );
}

#[tokio::test]
async fn all_places_of_a_crowded_building_an_island_and_an_edge_are_found() {
    let step = |n: u32| f64::from(n) * 3e-5;
    let building =
        (1000..1300).map(|id| place(id, 37.5552 + step((id - 1000) / 20), 126.9369 + step(id % 20), &["카페"]));
    let island = (2000..2003).map(|id| place(id, 33.5 + f64::from(id) * 1e-6, 126.5, &["카페"]));
    // A cluster that the edge of a circle cuts in two: 1000 m are 0.00901 degrees of latitude here.
    let edge: Vec<StandinPlace> =
        (3000..3200).map(|id| place(id, 37.5547 + 0.0089 + f64::from(id - 3000) * 1e-6, 126.9707, &["카페"])).collect();
    let inside =
        edge.iter().filter(|one| one.place.position.distance_m(LatLng::new(37.5547, 126.9707).unwrap()) <= 1000.0);
    let inside: Vec<u32> = inside.map(|one| one.place.id.as_str().parse().unwrap()).collect();
    assert!((50..150).contains(&inside.len()), "{} of 200 are no edge", inside.len());
    let all = places().into_iter().chain(building).chain(island).chain(edge.clone()).collect();
    let stage = Stage::new(World::new(all), &format!("{STATIONS}{ISLAND}")).await;

    for _ in 0..2 {
        crawl(&stage).finish().await.expect_code(0);

        let town = (1..=21).chain(31..=35).chain(1000..1300).chain(2000..2003).chain(inside.clone());
        let mut expected = cafes(town);
        expected.insert("공원 21".to_owned());
        assert_eq!(listed(&stage).await, expected);
        assert_eq!(stage.value::<i32>("select max(cells_truncated) from crawl_run").await, 0);
        assert!(stage.value::<bool>("select bool_and(complete_since is not null) from station_coverage").await);
    }
}

#[tokio::test]
async fn places_on_the_borders_of_cells_are_found() {
    let stage = Stage::new(World::new((1..=400).map(scattered).collect()), STATIONS).await;
    crawl(&stage).finish().await.expect_code(0);
    let corners: Vec<(f64, f64)> = sqlx::query_as(
        "select distinct south, west from crawl_cell where status = 'done' union
         select north, east from crawl_cell where status = 'done' union
         select south, (west + east) / 2 from crawl_cell where status = 'done'",
    )
    .fetch_all(stage.pool())
    .await
    .unwrap();
    let on_borders =
        (5000..).zip(&corners).map(|(id, (latitude, longitude))| place(id, *latitude, *longitude, &["카페"]));
    let on_borders: Vec<StandinPlace> = on_borders.collect();
    stage.standin.set_world(World::new((1..=400).map(scattered).chain(on_borders.clone()).collect()));

    crawl(&stage).finish().await.expect_code(0);

    let stored: BTreeSet<String> = stage.texts("select place_id from place").await.into_iter().collect();
    let stations = [(37.5552, 126.9370), (37.5602, 126.9430), (37.5547, 126.9707)];
    let stations = stations.map(|(latitude, longitude)| LatLng::new(latitude, longitude).unwrap());
    let is_near = |one: &&StandinPlace| stations.iter().any(|at| at.distance_m(one.place.position) <= 1000.0);
    let ids: Vec<&str> = on_borders.iter().filter(is_near).map(|one| one.place.id.as_str()).collect();
    assert!(ids.len() > 20, "{} places are no test", ids.len());
    assert_eq!(ids.into_iter().find(|id| !stored.contains(*id)), None);
}

/// A café within 900 m of 서울역 or 신촌역.
fn scattered(id: u32) -> StandinPlace {
    let share = |factor: f64| (f64::from(id) * factor).fract() - 0.5;
    let (latitude, longitude) = if id.is_multiple_of(2) { (37.5547, 126.9707) } else { (37.5552, 126.9370) };
    place(id, latitude + share(0.754_877_666) * 0.011, longitude + share(0.569_840_291) * 0.014, &["카페"])
}

#[tokio::test]
async fn many_places_at_one_coordinate_are_truncated_and_everything_around_them_is_complete() {
    let heap = (1000..1300).map(|id| place(id, 37.5552, 126.9369, &["카페"]));
    let stage = Stage::new(World::new(places().into_iter().chain(heap).collect()), STATIONS).await;

    for run in 1..=2 {
        crawl(&stage).finish().await.expect_code(0);

        let listed = listed(&stage).await;
        assert!(cafes((1..=21).chain(31..=35)).is_subset(&listed), "{listed:?}");
        assert!(listed.len() >= 27 + 45, "what the API shows of the heap is stored");
        assert_eq!(
            stage.value::<i32>("select cells_truncated from crawl_run order by crawl_run_id desc limit 1").await,
            1
        );
        assert!(stage.value::<i64>("select count(*) from crawl_cell where shortfall > 0").await == run);
        let size = "select max(greatest(north - south, east - west)) from crawl_cell where truncated";
        assert!(stage.value::<f64>(size).await < 3e-5, "it is some two metres large");
        let unproven = "select count(*) from crawl_cell where status = 'done' and not complete and not truncated";
        assert_eq!(stage.value::<i64>(unproven).await, 0);
    }
    let truncated =
        "select distinct station_name, truncated from station_coverage where keyword = '카페' order by 1, 2";
    assert_snapshot!(stage.rows(truncated).await, @"
    station_name  truncated
    서울역        false
    신촌역        true
    ");
}

#[tokio::test]
async fn a_lower_page_limit_faults_and_a_kill_do_not_change_the_result() {
    let stage = Stage::new(World::new((1..=400).map(scattered).collect()), STATIONS).await;
    stage.standin.set(Switches { pageable_cap: 44, fault_share: 0.05, ..Switches::default() });
    let running = crawl(&stage).start();
    stage.standin.reached(20).await;
    running.kill().await;

    // A resumed run keeps its coverage, whatever the configuration is now.
    let resumed = crawl(&stage).set("SANGGWOND_CRAWL__COVERAGE", "station").finish().await.expect_code(0);

    assert!(resumed.stderr.contains("run 1 resumed"), "{}", resumed.stderr);
    assert_eq!(listed(&stage).await, cafes(1..=400));
    assert_eq!(wrong_counters(&stage).await, NONE);
    assert!(stage.value::<i32>("select cells_split from crawl_run").await > 0);
}

#[tokio::test]
async fn a_spent_quota_interrupts_a_run_between_a_cell_and_its_sub_rectangles() {
    let stage = Stage::new(World::new((1..=400).map(scattered).collect()), STATIONS).await;
    for quota in ["2", "9", "1000"] {
        crawl(&stage).set("SANGGWOND_KAKAO__DAILY_QUOTA", quota).finish().await;
    }

    assert_eq!(stage.texts("select status from crawl_run").await, ["succeeded"]);
    assert_eq!(listed(&stage).await, cafes(1..=400));
    assert_eq!(wrong_counters(&stage).await, NONE);
}

#[tokio::test]
async fn an_incomplete_rectangle_is_searched_again_by_distance_and_stays_unproven_if_still_short() {
    let short = || {
        let meta = r#""meta":{"is_end":true,"pageable_count":2,"total_count":2,"same_name":null}"#;
        Fault::Body(format!(r#"{{"documents":[{DOCUMENT}],{meta}}}"#))
    };
    for (readings, complete) in [(1, "complete: true, shortfall: 0"), (2, "complete: false, shortfall: 1")] {
        let stage = Stage::new(World::default(), ISLAND).await;
        stage.standin.record(true);
        stage.standin.script(vec![short(); readings]);

        crawl(&stage).set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);

        let sorts = stage.standin.recorded().iter().map(|one| one.params.get("sort").cloned()).collect::<Vec<_>>();
        assert_eq!(sorts, [None, Some("distance".to_owned())]);
        assert_eq!(
            stage
                .value::<String>(
                    "select format('complete: %s, shortfall: %s', complete::text, shortfall) from crawl_cell",
                )
                .await,
            complete
        );
        let proven: bool = stage.value("select complete_since is not null from station_coverage").await;
        assert_eq!(proven, readings == 1);
    }
}

#[tokio::test]
async fn a_place_outside_its_rectangle_prevents_a_proof() {
    let stage = Stage::new(world(), ISLAND).await;
    // Simulates an API that ignores the rectangle: it returns a place of another town with one of this town.
    let far = r#"{"id":"1","place_name":"가게","x":"126.9370","y":"37.5552"}"#;
    let near = r#"{"id":"2","place_name":"가게","x":"126.5","y":"33.5"}"#;
    let meta = r#""meta":{"is_end":true,"pageable_count":2,"total_count":2,"same_name":null}"#;
    stage.standin.script(vec![Fault::Body(format!(r#"{{"documents":[{far},{near}],{meta}}}"#)); 2]);

    crawl(&stage).set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);

    assert!(!stage.value::<bool>("select complete from crawl_cell").await);
    assert_eq!(stage.texts("select place_id from place").await, ["2"]);
    assert_eq!(stage.value::<i64>("select documents_rejected from crawl_run").await, 1, "of the second reading");
}

#[tokio::test]
async fn switching_the_coverage_loses_no_place() {
    let stage = Stage::new(World::new((1..=400).map(scattered).collect()), STATIONS).await;
    stage.crawl().await;
    let few = listed(&stage).await;

    crawl(&stage).finish().await.expect_code(0);
    assert_eq!(listed(&stage).await, cafes(1..=400));
    assert!(few.len() < 400);
    stage.crawl().await;

    assert_eq!(listed(&stage).await, cafes(1..=400));
    assert!(
        stage.value::<bool>("select bool_or(truncated) from station_coverage").await,
        "the coverage is that of the last run"
    );
}

#[tokio::test]
async fn a_partial_scope_run_marks_only_its_own_stations_as_complete() {
    let stage = Stage::new(World::new((1..=400).map(scattered).collect()), STATIONS).await;

    let part = ["crawl", "--station", "서울역", "--keyword", KEYWORDS[0]];
    stage.program(&part).set("SANGGWOND_CRAWL__COVERAGE", "complete").finish().await.expect_code(0);

    assert_eq!(listed(&stage).await, cafes((2..=400).step_by(2)));
    assert_eq!(stage.texts("select station_name from station_coverage").await, ["서울역"]);
}
