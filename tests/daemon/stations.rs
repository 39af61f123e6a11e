//! Station file, keywords and radius: the effect of changes on the tables.

use std::collections::BTreeSet;

use crate::support::Stage;
use crate::support::town;

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
async fn at_most_ten_skipped_rows_are_logged_and_the_others_are_counted() {
    let stage = Stage::small().await;
    stage.set_stations(&format!("{TWO}{}", "종각역,수도권,,126.98,1호선\n".repeat(25)));

    let crawled = stage.program(&["crawl"]).finish().await.expect_code(0);
    let checked = stage.program(&["check"]).finish().await.expect_code(0);

    assert_eq!(crawled.stderr.matches("a row of the station file is ignored: line ").count(), 10, "{}", crawled.stderr);
    assert_eq!(crawled.stderr.matches("15 more rows of the station file are ignored").count(), 1, "{}", crawled.stderr);
    assert_eq!(checked.stdout.matches("ignored: line ").count(), 10, "{}", checked.stdout);
    assert!(checked.stdout.contains("\n        and 15 more\n"), "{}", checked.stdout);
}

#[tokio::test]
async fn a_million_bad_rows_are_refused_with_their_number_and_take_no_memory() {
    let stage = Stage::small().await;
    let bad = "종각역,수도권,,126.98,1호선\n".repeat(1_000_000);

    for (rows, words) in
        [(format!("{TWO}{bad}"), "stations.csv has 1000000 rows that cannot be used"), (bad, "no usable")]
    {
        stage.set_stations(&rows);
        let crawl = stage.program(&["crawl"]).through(&["prlimit", "--data=134217728"]).finish().await.expect_code(2);

        assert!(crawl.stderr.contains(words) && crawl.stderr.contains("; 999997 more rows"), "{}", crawl.stderr);
        assert!(crawl.stderr.len() < 2_000, "{}", crawl.stderr);
    }
    stage.set_stations("");
    let endless = stage.program(&["check"]).set("SANGGWOND_CRAWL__STATIONS", "/dev/zero");
    let endless = endless.finish().await.expect_code(1);
    assert!(endless.stdout.contains("it is a device; expected a regular file"), "{}", endless.stdout);
}

#[tokio::test]
async fn a_missing_or_empty_station_file_is_an_error_and_changes_nothing() {
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
    stage.program(&["crawl", "--retire"]).finish().await.expect_code(0);
    assert_eq!(stage.texts(ALL).await, ["1 서울역 1호선 retired", "2 새촌역 2호선"]);
    assert!(listed(&stage).await.iter().all(|listing| listing.starts_with("새촌역")));

    stage.set_stations(TWO);
    stage.crawl().await;
    assert_eq!(stage.texts(ALL).await, ["1 서울역 1호선", "2 신촌역 2호선"]);
    assert_eq!(listed(&stage).await, all);
}

#[tokio::test]
async fn a_removed_keyword_is_retired_and_loses_its_listings() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let all = listed(&stage).await;

    let retire = stage.program(&["crawl", "--retire"]).set("SANGGWOND_CRAWL__KEYWORDS", "카페");
    retire.finish().await.expect_code(0);
    assert_eq!(stage.texts("select query from keyword where retired_at is not null").await, ["공원"]);
    assert!(listed(&stage).await.iter().all(|listing| listing.contains("카페")));

    stage.crawl().await;
    assert_eq!(stage.value::<i64>("select count(*) from keyword where retired_at is null").await, 2);
    assert_eq!(listed(&stage).await, all);
}

#[tokio::test]
async fn another_radius_recomputes_the_listings() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let all = listed(&stage).await;

    let retire = &["crawl", "--retire"];
    stage.program(retire).set("SANGGWOND_CRAWL__RADIUS_M", "100").finish().await.expect_code(0);
    let near = listed(&stage).await;
    assert!(near.len() < all.len() && near.is_subset(&all), "{near:?}");

    stage.program(retire).finish().await.expect_code(0);
    assert_eq!(listed(&stage).await, all);
}

#[tokio::test]
async fn a_new_station_gets_listings_of_known_places_when_a_run_opens() {
    let stage = Stage::small().await;
    stage.set_stations("신촌역,수도권,37.5602,126.9430,경의중앙선\n");
    stage.crawl().await;
    stage.set_stations(town::STATIONS);

    // Only 공원 is searched for, but the cafés are already known.
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

    // Stop the run before it has received any answer about the new position.
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start();
    stage.standin.reached(stage.standin.requests() + 1).await;
    running.kill().await;

    assert_eq!(stage.value::<i64>(complete).await, 0);
}
