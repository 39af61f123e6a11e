//! What changes from run to run: what is told of it, what is taken for gone, and what is not believed.

use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, StandinPlace, Switches, World};

use crate::support::Stage;
use crate::support::ground::{STATIONS, place, places};

/// The newest run: its status, and how many places were missed, closed and reopened.
pub(crate) const RUN: &str =
    "select format('%s %s %s %s', status, places_missed, places_closed, places_reopened) from crawl_run
     order by crawl_run_id desc limit 1";

/// What the newest run has told of places.
pub(crate) const TOLD: &str = "select format('%s %s', kind, place_id) from place_change
     where crawl_run_id = (select max(crawl_run_id) from crawl_run) order by 1";

pub(crate) const NONE: [&str; 0] = [];

/// The town with some places left out and some added.
fn town(without: &[u32], with: impl IntoIterator<Item = StandinPlace>) -> World {
    let is_left_out = |one: &StandinPlace| without.iter().any(|id| one.place.id.as_str() == id.to_string());
    World::new(places().into_iter().filter(|one| !is_left_out(one)).chain(with).collect())
}

/// 400 cafés around 서울역 and 신촌역, so few around each spot that every search shows all of them at a radius of 100 m.
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
