//! Station file, keywords and radius: what a change of them leaves in the tables.

use std::collections::BTreeSet;

use crate::support::Stage;
use crate::support::ground;

/// Two stations, 신촌역 and 서울역.
const TWO: &str = "신촌역,수도권,37.5552,126.9370,2호선\n서울역,수도권,37.5547,126.9707,1호선\n";

const ALL: &str = "select format('%s %s %s%s', station_id, name, array_to_string(lines, '+'),
    case when retired_at is not null then ' retired' end) from station order by station_id";

const LISTED: &str = "select format('%s %s %s %s', name, query, place_id, distance_m) from listing
    join station using (station_id) join keyword using (keyword_id)";

async fn listed(stage: &Stage) -> BTreeSet<String> {
    stage.texts(LISTED).await.into_iter().collect()
}

#[tokio::test]
async fn rows_of_one_name_within_500_m_are_one_station_with_all_its_lines() {
    let stage = Stage::small().await;

    stage.crawl().await;

    let stations =
        stage.texts("select format('%s %s %s', name, array_to_string(lines, '+'), longitude) from station").await;
    let stations: BTreeSet<&str> = stations.iter().map(String::as_str).collect();
    assert_eq!(
        stations,
        BTreeSet::from(["서울역 1호선 126.9707", "신촌역 2호선+신안산선 126.937", "신촌역 경의중앙선 126.943"])
    );
}

#[tokio::test]
async fn a_station_file_may_have_a_header_a_bom_crlf_and_blank_lines() {
    let stage = Stage::small().await;
    let rows = TWO.replace('\n', "\r\n\r\n");
    stage.set_stations(&format!("\u{feff}name,region,latitude,longitude,line\r\n{rows}"));

    stage.crawl().await;

    assert_eq!(stage.texts(ALL).await.len(), 2);
}

#[tokio::test]
async fn a_row_without_usable_coordinates_is_left_out_with_line_and_reason() {
    let stage = Stage::small().await;
    stage.set_stations(&format!(
        "{TWO}시청역,수도권,126.9769,37.5657,1호선\n종각역,수도권,,126.98,1호선\n동해역,수도권,north,129,1호선\n"
    ));

    let finished = stage.program(&["crawl"]).finish().await.expect_code(0);

    assert_eq!(stage.texts(ALL).await.len(), 2);
    for reason in ["line 3: ", "swapped", "line 4: ", "line 5: "] {
        assert!(finished.stderr.contains(reason), "{reason}: {}", finished.stderr);
    }
}

#[tokio::test]
async fn a_file_without_stations_or_no_file_is_an_error_and_changes_nothing() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let before = stage.texts(ALL).await;

    stage.set_stations("시청역,수도권,0,0,1호선\n");
    let empty = stage.program(&["crawl"]).finish().await.expect_code(2);
    let missing =
        stage.program(&["crawl"]).set("SANGGWOND_CRAWL__STATIONS", "/nowhere.csv").finish().await.expect_code(2);

    assert!(empty.stderr.contains("has no usable station"), "{}", empty.stderr);
    assert!(missing.stderr.contains("could not read the station file /nowhere.csv"), "{}", missing.stderr);
    assert_eq!(stage.texts(ALL).await, before);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn stations_keep_their_ids_when_they_are_renamed_vanish_or_come_back() {
    let stage = Stage::small().await;
    stage.set_stations(TWO);
    stage.crawl().await;
    assert_eq!(stage.texts(ALL).await, ["1 서울역 1호선", "2 신촌역 2호선"]);
    let all = listed(&stage).await;

    stage.set_stations("새촌역,수도권,37.5553,126.9370,2호선\n");
    stage.crawl().await;
    assert_eq!(stage.texts(ALL).await, ["1 서울역 1호선 retired", "2 새촌역 2호선"]);
    assert!(listed(&stage).await.iter().all(|listing| listing.starts_with("새촌역")));

    stage.set_stations(TWO);
    stage.crawl().await;
    assert_eq!(stage.texts(ALL).await, ["1 서울역 1호선", "2 신촌역 2호선"]);
    assert_eq!(listed(&stage).await, all);
}

#[tokio::test]
async fn a_keyword_taken_out_is_retired_and_its_listings_go() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let all = listed(&stage).await;

    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페").finish().await.expect_code(0);
    assert_eq!(stage.texts("select query from keyword where retired_at is not null").await, ["공원"]);
    assert!(listed(&stage).await.iter().all(|listing| listing.contains("카페")));

    stage.crawl().await;
    assert_eq!(stage.value::<i64>("select count(*) from keyword where retired_at is null").await, 2);
    assert_eq!(listed(&stage).await, all);
}

#[tokio::test]
async fn another_radius_lists_known_places_anew() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let all = listed(&stage).await;

    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__RADIUS_M", "100").finish().await.expect_code(0);
    let near = listed(&stage).await;
    assert!(near.len() < all.len() && near.is_subset(&all), "{near:?}");

    stage.crawl().await;
    assert_eq!(listed(&stage).await, all);
}

#[tokio::test]
async fn a_new_station_gets_what_is_known_around_it_when_the_run_opens() {
    let stage = Stage::small().await;
    stage.set_stations("신촌역,수도권,37.5602,126.9430,경의중앙선\n");
    stage.crawl().await;
    stage.set_stations(ground::STATIONS);

    // Only the park is searched for, but the cafés are known.
    stage.program(&["crawl", "--keyword", "공원"]).finish().await.expect_code(0);

    let cafes = "select count(*) from listing join station using (station_id) join keyword using (keyword_id)
        where query = '카페' and array_length(lines, 1) = 2";
    assert_eq!(stage.value::<i64>(cafes).await, 21);
}

#[tokio::test]
async fn a_station_that_moved_is_not_known_to_be_complete() {
    let stage = Stage::small().await;
    stage.set_stations(TWO);
    stage.crawl().await;
    let complete = "select count(*) from station_coverage where complete_since is not null and station_name = '서울역'";
    assert_eq!(stage.value::<i64>(complete).await, 2);
    stage.set_stations(&TWO.replace("126.9707", "126.9747"));

    // Another station is crawled, so that nothing is learned about this one.
    stage.program(&["crawl", "--station", "신촌"]).finish().await.expect_code(0);

    assert_eq!(stage.value::<i64>(complete).await, 0);
}
