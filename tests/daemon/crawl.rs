//! The crawl from the stations to the rows.

use sanggwond::standin::{DEMO_PLACES, Recipe, World};
use sanggwond::stations;

use crate::held::{ALL_KEYWORDS, Held, same};
use crate::support::Stage;
use crate::support::town::{self, place};

/// The versions of all rows that a second run must not write.
async fn row_versions(stage: &Stage) -> Vec<String> {
    stage
        .texts(
            "select format('place %s %s %s', place_id, xmin, ctid) from place
             union all select format('listing %s %s %s %s %s', station_id, keyword_id, place_id, xmin, ctid) from listing
             union all select format('place_change %s', place_change_id) from place_change
             order by 1",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crawl_of_all_stations_and_keywords_stores_exactly_the_places_of_the_world() {
    let (stations, _) = stations::load(None).unwrap();
    let world = || World::generate(&Recipe { seed: 7, week: 0, places: DEMO_PLACES }, &stations);
    let stage = Stage::new(world(), "").await;

    let everything =
        || stage.program(&["crawl"]).unset("SANGGWOND_CRAWL__STATIONS").set("SANGGWOND_CRAWL__KEYWORDS", ALL_KEYWORDS);
    everything().finish().await.expect_code(0);

    let expected = Held::shown_by(&world(), &stations, 45);
    let stored = Held::stored(&stage).await;
    assert_eq!(stations.len(), 941);
    assert!(expected.places.len() > 30_000, "{} places are no test", expected.places.len());
    same("place", &stored.places, &expected.places);
    same("place_keyword", &stored.links, &expected.links);
    same("listing", &stored.listings, &expected.listings);
    assert_eq!(stage.value::<i32>("select cells_done from crawl_run").await, 9410);
    assert!(stage.standin.peak_in_flight() <= 5, "{} requests in flight", stage.standin.peak_in_flight());

    let before = row_versions(&stage).await;
    everything().finish().await.expect_code(0);

    assert!(before == row_versions(&stage).await, "a rerun over an unchanged world has written places or listings");
    assert_eq!(
        stage.value::<i32>("select max(places_new + places_changed) from crawl_run where crawl_run_id = 2").await,
        0
    );
    let seen_again = "select bool_and(last_seen_run = 2) from place_keyword";
    assert!(stage.value::<bool>(seen_again).await, "a place was not seen again");
}

#[tokio::test]
async fn the_page_delay_separates_the_pages_of_a_cell_without_a_permit() {
    let stage = Stage::small().await;

    let delayed = |delay| {
        let crawl = stage.program(&["crawl", "--format", "json"]).set("SANGGWOND_CRAWL__PAGE_DELAY", delay);
        crawl.set("SANGGWOND_KAKAO__MAX_IN_FLIGHT", "1")
    };
    let finished = delayed("300ms").finish().await.expect_code(0);

    let summary: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert!(summary["elapsed_s"].as_f64().unwrap() >= 0.3, "{summary}");
    assert_eq!(stage.standin.peak_in_flight(), 1);
    // Two cells wait an hour for their second pages. Meanwhile all first pages are fetched with the one permit.
    stage.standin.record(true);
    let running = delayed("1h").start();
    stage.standin.reached(8 + 6).await;
    running.terminate().await.expect_code(4);
    let pages: Vec<String> = stage.standin.recorded().iter().map(|request| request.params["page"].clone()).collect();
    assert_eq!(pages, ["1"; 6]);
}

#[tokio::test]
async fn requests_have_the_parameters_that_the_api_expects() {
    let stage = Stage::small().await;
    stage.standin.record(true);

    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);

    let recorded = stage.standin.recorded();
    let request = recorded.iter().find(|request| request.params["x"] == "126.9707").unwrap();
    assert_eq!(request.path, "/v2/local/search/keyword.json");
    assert_eq!(request.user_agent.as_deref(), Some(concat!("sanggwond/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(request.accept_encoding.as_deref(), Some("gzip"));
    let params = ["query", "x", "y", "radius", "size", "page"].map(|name| request.params[name].as_str());
    assert_eq!(params, ["카페", "126.9707", "37.5547", "1000", "15", "1"]);
    assert!(
        stage.standin.connections() <= 5,
        "{} connections for {} requests",
        stage.standin.connections(),
        recorded.len()
    );
}

#[tokio::test]
async fn a_keyword_may_carry_a_category_group() {
    let mut other = place(99, 37.5547, 126.9707, &["카페"]);
    other.place.category_group_code = None;
    let stage = Stage::new(World::new(vec![place(1, 37.5547, 126.9707, &["카페"]), other]), town::STATIONS).await;
    let keywords = "[crawl]\nkeywords = [{ query = '카페', category_group_code = 'CE7' }]";
    std::fs::write(stage.folder.path().join("config.toml"), keywords).unwrap();

    stage.program(&["crawl"]).unset("SANGGWOND_CRAWL__KEYWORDS").finish().await.expect_code(0);

    assert_eq!(stage.texts("select place_id from place").await, ["1"]);
}

#[tokio::test]
async fn stations_and_keywords_can_be_selected_by_name() {
    let stage = Stage::small().await;

    let part = ["crawl", "--station", "신촌", "--keyword", "공원"];
    let finished = stage.program(&part).finish().await.expect_code(0);

    assert!(finished.stdout.contains("cells     2 of 2 done"), "{}", finished.stdout);
    let scope: serde_json::Value = stage.value("select scope from crawl_run").await;
    assert_eq!(scope, serde_json::json!({"stations": ["신촌"], "keywords": ["공원"]}));
}

#[tokio::test]
async fn local_info_has_the_columns_of_the_replaced_table() {
    let mut bare = place(1, 37.5547, 126.9707, &["카페"]);
    bare.place.phone = None;
    bare.place.road_address = None;
    let stage = Stage::new(World::new(vec![bare]), town::STATIONS).await;

    stage.crawl().await;

    let row =
        "select format('%s|%s|%s|%s|%s|%s|%s|%s|%s', station_name, name, id, category, road_address, address, phone,
        is_deleted, distance_m) from local_info where is_deleted = false";
    let expected = "서울역|가게 1|1|카페|정보 없음|서울 서대문구 창천동 1|정보 없음|f|0";
    assert_eq!(stage.texts(row).await, [expected]);
    assert!(stage.value::<bool>("select created_at is not null and updated_at is not null from local_info").await);
}
