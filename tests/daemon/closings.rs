//! Changes from run to run: which are recorded, which places count as missing, and which misses are discarded.

use insta::assert_snapshot;
use sanggwond::standin::{Fault, StandinPlace, Switches, World};

use crate::support::Stage;
use crate::support::town::{STATIONS, place, places};

/// The newest run: its status, and how many places were missed, closed and reopened.
pub(crate) const RUN: &str =
    "select format('%s: %s missed, %s closed, %s reopened', status, places_missed, places_closed, places_reopened) from crawl_run
     order by crawl_run_id desc limit 1";

/// The changes of places that the newest run recorded.
pub(crate) const CHANGES: &str = "select format('%s %s', kind, place_id) from place_change
     where crawl_run_id = (select max(crawl_run_id) from crawl_run) order by 1";

pub(crate) const NONE: [&str; 0] = [];

/// The town with some places left out and some added.
fn town(without: &[u32], with: impl IntoIterator<Item = StandinPlace>) -> World {
    let is_left_out = |one: &StandinPlace| without.iter().any(|id| one.place.id.as_str() == id.to_string());
    World::new(places().into_iter().filter(|one| !is_left_out(one)).chain(with).collect())
}

/// Cafés with these ids: even ids around 서울역, odd ids around the second 신촌역.
pub(crate) fn crowd(ids: impl IntoIterator<Item = u32>) -> World {
    let around = |id: u32| {
        let (latitude, longitude) = if id.is_multiple_of(2) { (37.5547, 126.9707) } else { (37.5602, 126.9430) };
        place(id, latitude + f64::from(id) * 1e-6, longitude, &["카페"])
    };
    World::new(ids.into_iter().map(around).collect())
}

pub(crate) async fn complete(stage: &Stage) {
    crawl_completely(stage, &[]).await.expect_code(0);
}

pub(crate) async fn crawl_completely(stage: &Stage, more: &[&str]) -> crate::support::program::Finished {
    let arguments: Vec<&str> = ["crawl"].into_iter().chain(more.iter().copied()).collect();
    stage.program(&arguments).set("SANGGWOND_CRAWL__COVERAGE", "complete").finish().await
}

#[tokio::test]
async fn the_first_run_records_no_openings_and_a_later_one_does() {
    let stage = Stage::small().await;
    stage.crawl().await;
    assert_eq!(stage.texts(CHANGES).await, NONE);

    stage.standin.set_world(town(&[], [place(50, 37.5550, 126.9705, &["카페"])]));
    stage.crawl().await;

    assert_eq!(stage.texts(CHANGES).await, ["opened 50"]);
    let change = "select after ->> 'name' as name, before, latitude,
         not_before = (select started_at from crawl_run where crawl_run_id = 1) as since_first_run,
         not_after > (select started_at from crawl_run where crawl_run_id = 2) as until_second_run from place_change";
    assert_snapshot!(stage.rows(change).await, @"
    name     before  latitude  since_first_run  until_second_run
    가게 50  –       37.555    true             true
    ");
}

#[tokio::test]
async fn a_change_has_the_values_before_and_after() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let mut phone = place(31, 37.5547, 126.9700 + 31e-5, &["카페"]);
    phone.place.phone = None;
    let mut other = place(32, 37.5547, 126.9700 + 32e-5, &["카페"]);
    (other.place.name, other.place.category_name) = ("약국".to_owned(), Some("의료 > 약국".to_owned()));
    let moved = place(33, 37.5552, 126.9700, &["카페"]);

    stage.standin.set_world(town(&[31, 32, 33], [phone, other, moved]));
    stage.crawl().await;

    let changes = "select place_id, is_replaced, before, after from place_change order by place_id";
    assert_snapshot!(stage.rows(changes).await, @r#"
    place_id  is_replaced  before                                                 after
    31        false        {"phone": "02-000-0031"}                               {"phone": null}
    32        true         {"name": "가게 32", "category_name": "음식점 > 카페"}  {"name": "약국", "category_name": "의료 > 약국"}
    33        false        {"latitude": 37.5547, "longitude": 126.97033}          {"latitude": 37.5552, "longitude": 126.97}
    "#);
    assert_eq!(stage.value::<String>(RUN).await, "succeeded: 0 missed, 0 closed, 0 reopened");
    let position = "select latitude from place_change where place_id = '33'";
    assert!((stage.value::<f64>(position).await - 37.5552).abs() < 1e-9, "where it happened");
}

#[tokio::test]
async fn a_place_missed_twice_is_closed_as_of_the_first_miss_and_reopened_when_found_again() {
    for coverage in ["station", "complete"] {
        let stage = Stage::small().await;
        let crawl = async || {
            stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", coverage).finish().await.expect_code(0);
        };
        crawl().await;
        stage.standin.set_world(town(&[31], []));

        crawl().await;
        assert_eq!(
            (stage.value::<String>(RUN).await, stage.texts(CHANGES).await),
            ("succeeded: 1 missed, 0 closed, 0 reopened".to_owned(), vec![])
        );
        let first_miss = "select finished_at = (select missing_since from place_keyword where place_id = '31')
             from crawl_run where crawl_run_id = 2";
        assert!(stage.value::<bool>(first_miss).await);
        crawl().await;

        assert_eq!(stage.value::<String>(RUN).await, "succeeded: 1 missed, 1 closed, 0 reopened", "{coverage}");
        assert_eq!(stage.texts(CHANGES).await, ["closed 31"]);
        let closing =
            "select closed_at = (select finished_at from crawl_run where crawl_run_id = 2) as closed_at_first_miss,
             not_before = (select started_at from crawl_run where crawl_run_id = 1) as not_before_last_seen,
             not_after = closed_at as not_after_closed_at from place join place_change using (place_id)";
        let expected = "\
closed_at_first_miss  not_before_last_seen  not_after_closed_at
true                  true                  true";
        assert_eq!(stage.rows(closing).await, expected, "{coverage}");
        let listed = "select count(*) from listing where place_id = '31' and gone_at is null";
        assert_eq!(stage.value::<i64>(listed).await, 0);
        assert!(stage.value::<bool>("select is_deleted from local_info where id = '31'").await);

        stage.standin.set_world(town(&[], []));
        crawl().await;

        assert_eq!(stage.value::<String>(RUN).await, "succeeded: 0 missed, 0 closed, 1 reopened");
        assert_eq!(stage.texts(CHANGES).await, ["reopened 31"]);
        assert_eq!(stage.value::<i64>(listed).await, 1);
        let open = "select closed_at, is_deleted from place join local_info on id = place_id where id = '31'";
        assert_eq!(stage.rows(open).await, "closed_at  is_deleted\n–          false", "{coverage}");
        let interval = "select not_before = (select started_at from crawl_run where crawl_run_id = 3) or coverage = 'station'
             from place_change, crawl_run where kind = 'reopened' and place_change.crawl_run_id = crawl_run.crawl_run_id";
        assert!(stage.value::<bool>(interval).await);
    }
}

#[tokio::test]
async fn a_place_that_one_keyword_still_finds_stays_open() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[21], [place(21, 37.5577, 126.9400, &["카페"])]));

    for _ in 0..2 {
        stage.crawl().await;
    }

    let matches = "select query, gone_at is not null as is_gone from place_keyword join keyword using (keyword_id)
         where place_id = '21' order by 1";
    assert_snapshot!(stage.rows(matches).await, @"
    query  is_gone
    공원   true
    카페   false
    ");
    assert_eq!(stage.value::<String>(RUN).await, "succeeded: 1 missed, 0 closed, 0 reopened");
    assert_eq!(
        stage.texts("select distinct category from local_info where id = '21' and not is_deleted").await,
        ["카페"]
    );
}

#[tokio::test]
async fn a_place_that_its_keywords_no_longer_find_stays_open_if_its_name_finds_it() {
    let stage = Stage::small().await;
    stage.crawl().await;
    // Two cafés, 20 and the fifth at 서울역, are no longer found by 카페.
    stage.standin.set(Switches { thin_out: Some(("카페".to_owned(), 13)), ..Switches::default() });
    stage.crawl().await;
    let missed: i32 = stage.value("select places_missed from crawl_run where crawl_run_id = 2").await;
    stage.standin.record(true);

    stage.crawl().await;

    assert!(missed > 0);
    assert_eq!(stage.value::<String>(RUN).await, "succeeded: 0 missed, 0 closed, 0 reopened");
    let asked = stage.standin.recorded().into_iter().filter(|one| one.params["query"].starts_with("가게")).count();
    assert_eq!(i32::try_from(asked).unwrap(), missed, "one request each");
    let confirmed = "select count(*) from place_keyword where confirmed_run = 3 and misses = 0 and gone_at is null";
    assert_eq!(stage.value::<i64>(confirmed).await, i64::from(missed));
    let searches_by_name =
        "select requests - (select sum(attempts) from crawl_cell where crawl_run_id = 3) from crawl_run
         where crawl_run_id = 3";
    assert_eq!(stage.value::<i64>(searches_by_name).await, i64::from(missed), "searches by name count as requests");
}

#[tokio::test]
async fn closings_beyond_the_limit_are_confirmed_by_the_next_run() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[31, 32, 33], []));
    let crawl = || stage.program(&["crawl"]).set("SANGGWOND_CRAWL__CONFIRM_CLOSINGS", "2").finish();

    crawl().await.expect_code(0);
    crawl().await.expect_code(0);
    assert_eq!(stage.value::<String>(RUN).await, "succeeded: 3 missed, 2 closed, 0 reopened");
    crawl().await.expect_code(0);

    assert_eq!(stage.value::<String>(RUN).await, "succeeded: 1 missed, 1 closed, 0 reopened");
}

#[tokio::test]
async fn a_run_that_is_stopped_while_it_confirms_closings_closes_no_place() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[31], []));
    stage.crawl().await;
    let wait = Fault::Throttled { retry_after: Some("3600".to_owned()) };
    stage.standin.set(Switches { faults_for: vec![("가게 31".to_owned(), wait)], ..Switches::default() });
    let mut running = stage.program(&["crawl"]).start();
    running.says("asking by name before places are closed: for 1").await;

    running.terminate().await.expect_code(4);

    assert_eq!(stage.value::<i64>("select count(*) from place where closed_at is not null").await, 0);
    stage.standin.set(Switches::default());
    stage.crawl().await;
    assert_eq!(stage.value::<String>(RUN).await, "succeeded: 1 missed, 1 closed, 0 reopened");
}

#[tokio::test]
async fn a_kill_while_places_are_closed_rolls_all_closings_back() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[31, 32], []));
    stage.crawl().await;
    let mut held = stage.pool().begin().await.unwrap();
    sqlx::query("select from place where place_id = '31' for update").execute(&mut *held).await.unwrap();
    let running = stage.program(&["crawl"]).start();
    stage.blocked_by_a_lock().await;

    running.kill().await;
    held.rollback().await.unwrap();
    stage.crawl().await;

    assert_eq!(stage.value::<String>(RUN).await, "succeeded: 2 missed, 2 closed, 0 reopened");
    assert_snapshot!(stage.rows("select count(*) as runs, max(resumed_count) as resumed from crawl_run").await, @"
    runs  resumed
    3     1
    ");
    assert_eq!(stage.texts(CHANGES).await, ["closed 31", "closed 32"]);
    assert_eq!(stage.value::<i16>("select max(misses) from place_keyword").await, 2, "no miss is counted twice");
}

#[tokio::test]
async fn a_new_keyword_station_radius_or_coverage_records_no_openings() {
    let stage = Stage::new(crowd(100..140), "서울역,수도권,37.5547,126.9707,1호선\n").await;
    let crawl = async |variable: &str, value: &str| {
        stage.program(&["crawl", "--retire"]).set(variable, value).finish().await.expect_code(0);
        stage.texts(CHANGES).await
    };
    assert_eq!(crawl("SANGGWOND_CRAWL__KEYWORDS", "공원").await, NONE);

    assert_eq!(crawl("SANGGWOND_CRAWL__KEYWORDS", "카페,공원").await, NONE, "a keyword");
    stage.set_stations("서울역,수도권,37.5547,126.9707,1호선\n신촌역,수도권,37.5602,126.9430,1호선\n");
    assert_eq!(crawl("SANGGWOND_CRAWL__KEYWORDS", "카페,공원").await, NONE, "a station");
    let far = |ids: std::ops::Range<u32>| ids.map(|id| place(id, 37.5547 + 0.015, 126.9707, &["카페"]));
    let with = |ids| World::new(crowd(100..140).places().iter().cloned().chain(far(ids)).collect());
    stage.standin.set_world(with(500..505));
    assert_eq!(crawl("SANGGWOND_CRAWL__RADIUS_M", "2000").await, NONE, "a radius");
    stage.standin.set_world(with(500..510));
    assert_eq!(crawl("SANGGWOND_CRAWL__COVERAGE", "complete").await, NONE, "a coverage");
    stage.standin.set_world(with(500..512));
    let opened = stage
        .program(&["crawl", "--retire"])
        .set("SANGGWOND_CRAWL__COVERAGE", "complete")
        .set("SANGGWOND_CRAWL__RADIUS_M", "2000");
    opened.finish().await.expect_code(0);
    assert_eq!(stage.texts(CHANGES).await, NONE, "the radius is another one than in the last run");
}

#[tokio::test]
async fn an_unfinished_run_does_not_prove_a_station_complete_that_moved_meanwhile() {
    let stations = "서울역,수도권,37.5547,126.9707,1호선\n섬역,수도권,33.5,126.5,1호선\n";
    let stage = Stage::new(crowd(100..140), stations).await;
    stage.standin.set(Switches { faults_for: vec![("공원".to_owned(), Fault::Hang)], ..Switches::default() });
    let limited = &["crawl", "--station", "서울역", "--station", "섬역"];
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let running = stage.program(limited).start();
    stage.becomes_true("select coalesce(max(cells_done), 0) = 2 from crawl_run").await;
    running.kill().await;
    stage.standin.set(Switches::default());
    stage.set_stations(&stations.replace("37.5547", "37.5507"));
    let mut daemon = stage.program(&[]).start();
    daemon.says("run 2 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    stage.crawl().await;

    assert_eq!(stage.value::<i64>("select max(resumed_count)::bigint from crawl_run").await, 1, "it was resumed");
    // 카페 was searched around the former position of 서울역.
    let coverage = "select station_name, keyword, complete_since is not null as is_complete from station_coverage
         order by 1, 2";
    assert_snapshot!(stage.rows(coverage).await, @"
    station_name  keyword  is_complete
    서울역        공원     true
    서울역        카페     false
    섬역          공원     true
    섬역          카페     true
    ");
}

#[tokio::test]
async fn a_dropped_match_stays_listed_as_deleted_when_its_station_moves() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[31], []));
    stage.crawl().await;
    stage.crawl().await;

    stage.set_stations(&STATIONS.replace("서울역,수도권,37.5547", "서울역,수도권,37.5548"));
    stage.crawl().await;

    assert_snapshot!(stage.rows("select is_deleted, distance_m from local_info where id = '31'").await, @"
    is_deleted  distance_m
    true        36
    ");
}
