//! What changes from run to run: what is told of it, what is taken for gone, and what is not believed.

use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, StandinPlace, Switches, World};
use sqlx::postgres::PgListener;

use crate::support::Stage;
use crate::support::ground::{STATIONS, place, places};

/// The newest run: its status, and how many places were missed, closed and reopened.
const RUN: &str = "select format('%s %s %s %s', status, places_missed, places_closed, places_reopened) from crawl_run
     order by crawl_run_id desc limit 1";

/// What the newest run has told of places.
const TOLD: &str = "select format('%s %s', kind, place_id) from place_change
     where crawl_run_id = (select max(crawl_run_id) from crawl_run) order by 1";

const NONE: [&str; 0] = [];

/// The town with some places left out and some added.
fn town(without: &[u32], with: impl IntoIterator<Item = StandinPlace>) -> World {
    let is_left_out = |one: &StandinPlace| without.iter().any(|id| one.place.id.as_str() == id.to_string());
    World::new(places().into_iter().filter(|one| !is_left_out(one)).chain(with).collect())
}

/// 400 cafés around 서울역 and 신촌역, so few around each spot that every search shows all of them at a radius of 100 m.
fn crowd(ids: impl IntoIterator<Item = u32>) -> World {
    let around = |id: u32| {
        let (latitude, longitude) = if id.is_multiple_of(2) { (37.5547, 126.9707) } else { (37.5602, 126.9430) };
        place(id, latitude + f64::from(id) * 1e-6, longitude, &["카페"])
    };
    World::new(ids.into_iter().map(around).collect())
}

async fn complete(stage: &Stage) {
    crawl_completely(stage, &[]).await.expect_code(0);
}

async fn crawl_completely(stage: &Stage, more: &[&str]) -> crate::support::program::Finished {
    let arguments: Vec<&str> = ["crawl"].into_iter().chain(more.iter().copied()).collect();
    stage.program(&arguments).set("SANGGWOND_CRAWL__COVERAGE", "complete").finish().await
}

#[tokio::test]
async fn the_first_look_opens_nothing_and_a_later_one_tells_what_is_new() {
    let stage = Stage::small().await;
    stage.crawl().await;
    assert_eq!(stage.texts(TOLD).await, NONE);

    stage.standin.set_world(town(&[], [place(50, 37.5550, 126.9705, &["카페"])]));
    stage.crawl().await;

    assert_eq!(stage.texts(TOLD).await, ["opened 50"]);
    let row = "select format('%s %s %s %s %s', after ->> 'name', before is null, latitude,
         not_before = (select started_at from crawl_run where crawl_run_id = 1),
         not_after > (select started_at from crawl_run where crawl_run_id = 2)) from place_change";
    assert_eq!(stage.value::<String>(row).await, "가게 50 t 37.555 t t");
}

#[tokio::test]
async fn a_change_tells_what_it_was_and_what_it_is() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let mut phone = place(31, 37.5547, 126.9700 + 31e-5, &["카페"]);
    phone.place.phone = None;
    let mut other = place(32, 37.5547, 126.9700 + 32e-5, &["카페"]);
    (other.place.name, other.place.category_name) = ("약국".to_owned(), Some("의료 > 약국".to_owned()));
    let moved = place(33, 37.5552, 126.9700, &["카페"]);

    stage.standin.set_world(town(&[31, 32, 33], [phone, other, moved]));
    stage.crawl().await;

    let rows = "select format('%s %s %s %s', place_id, is_replaced, before, after) from place_change order by place_id";
    let expected = [
        r#"31 f {"phone": "02-000-0031"} {"phone": null}"#,
        r#"32 t {"name": "가게 32", "category_name": "음식점 > 카페"} {"name": "약국", "category_name": "의료 > 약국"}"#,
        r#"33 f {"latitude": 37.5547, "longitude": 126.97033} {"latitude": 37.5552, "longitude": 126.97}"#,
    ];
    assert_eq!(stage.texts(rows).await, expected);
    assert_eq!(stage.value::<String>(RUN).await, "succeeded 0 0 0");
    let position = "select latitude from place_change where place_id = '33'";
    assert!((stage.value::<f64>(position).await - 37.5552).abs() < 1e-9, "where it happened");
}

#[tokio::test]
async fn what_two_looks_do_not_find_is_closed_as_of_the_first_and_reopened_when_it_is_back() {
    for coverage in ["station", "complete"] {
        let stage = Stage::small().await;
        let crawl = async || {
            stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", coverage).finish().await.expect_code(0);
        };
        crawl().await;
        stage.standin.set_world(town(&[31], []));

        crawl().await;
        assert_eq!((stage.value::<String>(RUN).await, stage.texts(TOLD).await), ("succeeded 1 0 0".to_owned(), vec![]));
        let first_miss = "select finished_at = (select missing_since from place_keyword where place_id = '31')
             from crawl_run where crawl_run_id = 2";
        assert!(stage.value::<bool>(first_miss).await);
        crawl().await;

        assert_eq!(stage.value::<String>(RUN).await, "succeeded 1 1 0", "{coverage}");
        assert_eq!(stage.texts(TOLD).await, ["closed 31"]);
        let since = "select format('%s %s %s', closed_at = (select finished_at from crawl_run where crawl_run_id = 2),
             (select not_before from place_change) = (select started_at from crawl_run where crawl_run_id = 1),
             (select not_after from place_change) = closed_at) from place where place_id = '31'";
        assert_eq!(stage.value::<String>(since).await, "t t t", "as of the first look without it");
        let listed = "select count(*) from listing where place_id = '31' and gone_at is null";
        assert_eq!(stage.value::<i64>(listed).await, 0);
        assert!(stage.value::<bool>("select is_deleted from local_info where id = '31'").await);

        stage.standin.set_world(town(&[], []));
        crawl().await;

        assert_eq!(stage.value::<String>(RUN).await, "succeeded 0 0 1");
        assert_eq!(stage.texts(TOLD).await, ["reopened 31"]);
        assert_eq!(stage.value::<i64>(listed).await, 1);
        let open =
            "select closed_at is null and not is_deleted from place join local_info on id = place_id where id = '31'";
        assert!(stage.value::<bool>(open).await);
        let interval = "select not_before = (select started_at from crawl_run where crawl_run_id = 3) or coverage = 'station'
             from place_change, crawl_run where kind = 'reopened' and place_change.crawl_run_id = crawl_run.crawl_run_id";
        assert!(stage.value::<bool>(interval).await);
    }
}

#[tokio::test]
async fn a_place_with_a_keyword_left_stays_open() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[21], [place(21, 37.5577, 126.9400, &["카페"])]));

    for _ in 0..2 {
        stage.crawl().await;
    }

    let links = "select format('%s %s', query, gone_at is null) from place_keyword join keyword using (keyword_id)
         where place_id = '21' order by 1";
    assert_eq!(stage.texts(links).await, ["공원 f", "카페 t"]);
    assert_eq!(stage.value::<String>(RUN).await, "succeeded 1 0 0");
    assert_eq!(
        stage.texts("select distinct category from local_info where id = '21' and not is_deleted").await,
        ["카페"]
    );
}

#[tokio::test]
async fn a_place_that_only_dropped_out_of_its_keyword_is_asked_for_by_name_and_stays_open() {
    let stage = Stage::small().await;
    stage.crawl().await;
    // Cafés 20 and the fifth of 서울역 are no longer found by 카페.
    stage.standin.set(Switches { thin_out: Some(("카페".to_owned(), 13)), ..Switches::default() });
    stage.crawl().await;
    let missed: i32 = stage.value("select places_missed from crawl_run where crawl_run_id = 2").await;
    stage.standin.record(true);

    stage.crawl().await;

    assert!(missed > 0);
    assert_eq!(stage.value::<String>(RUN).await, "succeeded 0 0 0");
    let asked = stage.standin.recorded().into_iter().filter(|one| one.params["query"].starts_with("가게")).count();
    assert_eq!(i32::try_from(asked).unwrap(), missed, "one request each");
    let confirmed = "select count(*) from place_keyword where confirmed_run = 3 and misses = 0 and gone_at is null";
    assert_eq!(stage.value::<i64>(confirmed).await, i64::from(missed));
    let counted = "select requests = (select sum(attempts) from crawl_cell where crawl_run_id = 3) + $1 from crawl_run
         where crawl_run_id = 3";
    let counted: bool = sqlx::query_scalar(counted).bind(missed).fetch_one(stage.pool()).await.unwrap();
    assert!(counted, "what was asked is counted");
}

#[tokio::test]
async fn what_cannot_be_asked_for_this_week_waits_for_the_next() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[31, 32, 33], []));
    let crawl = || stage.program(&["crawl"]).set("SANGGWOND_CRAWL__CONFIRM_CLOSINGS", "2").finish();

    crawl().await.expect_code(0);
    crawl().await.expect_code(0);
    assert_eq!(stage.value::<String>(RUN).await, "succeeded 3 2 0");
    crawl().await.expect_code(0);

    assert_eq!(stage.value::<String>(RUN).await, "succeeded 1 1 0");
}

#[tokio::test]
async fn a_stop_while_places_are_asked_for_closes_none_of_them_yet() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[31], []));
    stage.crawl().await;
    let wait = Fault::Throttled { retry_after: Some("3600".to_owned()) };
    stage.standin.set(Switches { faults_for: vec![("가게 31".to_owned(), wait)], ..Switches::default() });
    let mut running = stage.program(&["crawl"]).start();
    running.says("asking by name before places are closed: for 1").await;

    running.signal(Signal::SIGTERM);
    running.finish().await.expect_code(4);

    assert_eq!(stage.value::<i64>("select count(*) from place where closed_at is not null").await, 0);
    stage.standin.set(Switches::default());
    stage.crawl().await;
    assert_eq!(stage.value::<String>(RUN).await, "succeeded 1 1 0");
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_closing_leaves_nothing_of_it() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[31, 32], []));
    stage.crawl().await;
    let mut held = stage.pool().begin().await.unwrap();
    sqlx::query("select from place where place_id = '31' for update").execute(&mut *held).await.unwrap();
    let running = stage.program(&["crawl"]).start();
    stage.blocked_by_a_lock().await;

    running.signal(Signal::SIGKILL);
    running.finish().await;
    held.rollback().await.unwrap();
    stage.crawl().await;

    assert_eq!(stage.value::<String>(RUN).await, "succeeded 2 2 0");
    assert_eq!(
        stage.value::<String>("select format('%s %s', count(*), max(resumed_count)) from crawl_run").await,
        "3 1"
    );
    assert_eq!(stage.texts(TOLD).await, ["closed 31", "closed 32"]);
    assert_eq!(stage.value::<i16>("select max(misses) from place_keyword").await, 2, "no miss is counted twice");
}

#[tokio::test]
async fn an_api_that_finds_nothing_empties_no_table() {
    let stage = Stage::new(crowd(100..200), STATIONS).await;
    complete(&stage).await;
    let all = "select md5(string_agg(place::text, '' order by place_id)) from place";
    let before: String = stage.value(all).await;
    stage.standin.set(Switches { is_empty: true, ..Switches::default() });

    for _ in 0..3 {
        let finished = crawl_completely(&stage, &[]).await.expect_code(3);
        assert!(finished.stdout.contains("in all 100 of 100 (100 %)"), "{}", finished.stdout);
        assert_eq!(stage.value::<String>(RUN).await, "partial 0 0 0");
    }
    assert_eq!(stage.value::<String>(all).await, before);
    assert_eq!(stage.value::<i64>("select count(*) from place_keyword where misses > 0").await, 0);

    // Meanwhile two have closed and two have opened.
    stage.standin.set(Switches::default());
    stage.standin.set_world(crowd(102..202));
    for run in ["succeeded 2 0 0", "succeeded 2 2 0"] {
        complete(&stage).await;
        assert_eq!(stage.value::<String>(RUN).await, run);
    }
    let told = "select format('%s %s %s', kind, place_id, not_before = (select started_at from crawl_run where crawl_run_id = 1))
         from place_change order by 1";
    let expected = ["closed 100 t", "closed 101 t", "opened 200 t", "opened 201 t"];
    assert_eq!(stage.texts(told).await, expected, "an empty answer is no look");
}

#[tokio::test]
async fn one_keyword_or_one_region_is_held_back_alone() {
    let town = "서울역,수도권,37.5547,126.9707,1호선\n대전역,대전,37.5602,126.9430,1호선\n";
    let parks = (1000..1300).map(|id| place(id, 37.5549 + f64::from(id - 1000) * 1e-6, 126.9709, &["공원"]));
    let with = |cafes: Vec<u32>| World::new(crowd(cafes).places().iter().cloned().chain(parks.clone()).collect());
    let stage = Stage::new(with((2000..3000).collect()), town).await;
    complete(&stage).await;
    let reason = "select reason from crawl_run order by crawl_run_id desc limit 1";

    // Of the even ones, around 서울역, two close; of the odd ones, around 대전역, sixty.
    let is_open = |id: &u32| if id.is_multiple_of(2) { *id >= 2004 } else { *id >= 2120 };
    stage.standin.set_world(with((2000..3000).filter(is_open).collect()));
    crawl_completely(&stage, &[]).await.expect_code(3);
    assert!(stage.value::<String>(reason).await.contains("카페 in 대전 60 of 500 (12 %);"));
    assert_eq!(stage.value::<String>(RUN).await, "partial 2 0 0");

    stage.standin.set(Switches { thin_out: Some(("카페".to_owned(), 20)), ..Switches::default() });
    crawl_completely(&stage, &[]).await.expect_code(3);
    assert!(stage.value::<String>(reason).await.contains("카페 106 of 998 (11 %);"));

    // A person has looked.
    stage.standin.set(Switches::default());
    for run in ["succeeded 62 2 0", "succeeded 60 60 0"] {
        crawl_completely(&stage, &["--accept-closings"]).await.expect_code(0);
        assert_eq!(stage.value::<String>(RUN).await, run);
    }
}

#[tokio::test]
async fn a_new_keyword_station_radius_or_coverage_opens_nothing() {
    let stage = Stage::new(crowd(100..140), "서울역,수도권,37.5547,126.9707,1호선\n").await;
    let crawl = async |variable: &str, value: &str| {
        stage.program(&["crawl"]).set(variable, value).finish().await.expect_code(0);
        stage.texts(TOLD).await
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
    assert_eq!(crawl("SANGGWOND_CRAWL__COVERAGE", "complete").await, NONE, "a way to cover the ground");
    stage.standin.set_world(with(500..512));
    let opened =
        stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete").set("SANGGWOND_CRAWL__RADIUS_M", "2000");
    opened.finish().await.expect_code(0);
    assert_eq!(stage.texts(TOLD).await, NONE, "the radius is another one than in the last run");
}

#[tokio::test]
async fn the_end_of_a_run_is_told_to_whoever_listens() {
    let stage = Stage::small().await;
    let mut listener = PgListener::connect_with(stage.pool()).await.unwrap();
    listener.listen("sanggwond_run").await.unwrap();

    stage.crawl().await;

    let told: serde_json::Value = serde_json::from_str(listener.recv().await.unwrap().payload()).unwrap();
    assert_eq!((&told["crawl_run_id"], &told["status"]), (&1.into(), &"succeeded".into()));
    assert_eq!((&told["places_new"], &told["places_closed"], &told["reason"]), (&26.into(), &0.into(), &().into()));
}

#[tokio::test]
async fn closings_that_wait_and_places_found_only_by_name_do_not_raise_the_guard() {
    let stage = Stage::new(crowd(1000..1500), STATIONS).await;
    let crawl = || {
        let crawl = stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete");
        crawl.set("SANGGWOND_CRAWL__CONFIRM_CLOSINGS", "5").finish()
    };
    crawl().await.expect_code(0);

    // Every week thirty close, and all but five of them wait.
    for week in 1..=5 {
        stage.standin.set_world(crowd(1000 + 30 * week..1500));
        crawl().await.expect_code(0);
    }
    assert_eq!(stage.value::<i64>("select count(*) from place where closed_at is not null").await, 4 * 5);

    let renamed = Stage::new(crowd(1000..1200), STATIONS).await;
    complete(&renamed).await;
    // One in eight is no longer found by its keyword, but by its name.
    renamed.standin.set(Switches { thin_out: Some(("카페".to_owned(), 8)), ..Switches::default() });
    crawl_completely(&renamed, &[]).await.expect_code(3);
    for _ in 0..2 {
        crawl_completely(&renamed, &["--accept-closings"]).await.expect_code(0);
    }
    complete(&renamed).await;
    assert_eq!(renamed.value::<i64>("select count(*) from place where closed_at is not null").await, 0);
}

#[tokio::test]
async fn an_empty_first_look_is_no_look() {
    let stations = (0..21).map(|n| format!("역{n},수도권,{},126.9707,1호선\n", 37.0 + f64::from(n) * 0.05));
    let stage = Stage::new(crowd(100..140), &(STATIONS.to_owned() + &stations.collect::<String>())).await;
    stage.standin.set(Switches { is_empty: true, ..Switches::default() });
    let first = stage.program(&["crawl"]).finish().await.expect_code(3);
    assert!(first.stdout.contains("nothing was found by any search"), "{}", first.stdout);
    stage.standin.set(Switches::default());

    stage.crawl().await;

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 40);
    assert_eq!(stage.texts(TOLD).await, NONE);
}

#[tokio::test]
async fn a_station_that_moved_meanwhile_takes_the_proof_from_an_unfinished_run() {
    let stage =
        Stage::new(crowd(100..140), "서울역,수도권,37.5547,126.9707,1호선\n섬역,수도권,33.5,126.5,1호선\n").await;
    stage.standin.set(Switches { faults_for: vec![("공원".to_owned(), Fault::Hang)], ..Switches::default() });
    let mut running = stage.program(&["crawl"]).set("SANGGWOND_LOG__FILTER", "info,sanggwond::crawl=debug").start();
    running.says("2 cells written").await;
    running.signal(Signal::SIGKILL);
    running.finish().await;
    stage.standin.set(Switches::default());
    stage.set_stations("서울역,수도권,37.5507,126.9707,1호선\n섬역,수도권,33.5,126.5,1호선\n");
    stage.program(&["crawl", "--station", "섬역"]).finish().await.expect_code(0);

    stage.crawl().await;

    let coverage =
        "select format('%s %s %s', station_name, keyword, complete_since is not null) from station_coverage order by 1";
    let expected = ["서울역 공원 t", "서울역 카페 f", "섬역 공원 t", "섬역 카페 t"];
    assert_eq!(stage.texts(coverage).await, expected, "it was searched where it stood before");
}

#[tokio::test]
async fn what_was_given_up_stays_listed_as_such_where_its_station_moves() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(town(&[31], []));
    stage.crawl().await;
    stage.crawl().await;

    stage.set_stations(&STATIONS.replace("서울역,수도권,37.5547", "서울역,수도권,37.5548"));
    stage.crawl().await;

    let gone = "select format('%s %s', is_deleted, distance_m) from local_info where id = '31'";
    assert_eq!(stage.texts(gone).await, ["t 36"]);
}
