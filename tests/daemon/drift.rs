//! The API changes without an error. A run notices it before its first cell: it closes no place that exists and invents none,
//! and the next run with the API as it was mends everything.

use futures_util::future::join_all;
use insta::assert_snapshot;
use nix::sys::signal::Signal;
use sanggwond::domain::language::Language;
use sanggwond::standin::{Drift, Fault, StandinPlace, Switches, World};

use crate::support::Stage;
use crate::support::program::Program;
use crate::support::town::{STATIONS, place};

/// Each drift; the status of a run in rectangles and of one by station; and how its reason or its warning begins.
const DRIFTS: [(Drift, &str, &str, &str); 13] = [
    (
        Drift::RectIgnored,
        "partial",
        "succeeded",
        "a search by rectangle returned 15 of 15 places outside the rectangle",
    ),
    (Drift::RectSwapped, "partial", "succeeded", "a search by rectangle returned 0 places where "),
    (Drift::LowLimit, "succeeded", "succeeded", "the API shows at most 30 results of a search, not 45"),
    (Drift::PagesRepeat, "partial", "partial", "page 2 of a search only repeats earlier pages"),
    (Drift::FieldRenamed, "failed", "failed", "the API no longer returns place_name"),
    (Drift::DistanceMissing, "succeeded", "succeeded", "the API no longer returns distance"),
    (Drift::IdsRenumbered, "failed", "failed", "known places ("),
    (Drift::Fuzzy, "partial", "partial", "the API counts "),
    (Drift::CountsWobble, "partial", "partial", "the same search counted "),
    (Drift::RadiusIgnored, "partial", "failed", "a search by circle returned "),
    (Drift::AreaIgnored, "failed", "failed", "a search by "),
    (Drift::SortIgnored, "partial", "partial", "the API ignores sort=distance"),
    (Drift::HalfMissing, "partial", "partial", "the search for "),
];

/// What readers see, without the times and the runs.
const TABLES: &str = "select format('%s %s %s %s %s', station, keyword, place_id, place_name, phone) from (
         select s.name as station, query as keyword, p.place_id, p.name as place_name, p.phone
         from listing l join station s using (station_id) join keyword using (keyword_id) join place p using (place_id)
         where l.gone_at is null and p.closed_at is null) t order by 1";

/// 26 cafés, 40 parks and 100 bars around 신촌역, 4 parks around 서울역, and 40 cafés and parks 6 km to the west that come first in the
/// order of accuracy.
fn town() -> World {
    let near = |id: u32, keyword| {
        let (row, column) = (f64::from(id % 7), f64::from(id % 9));
        place(id, 37.5532 + row * 8e-4, 126.9339 + column * 8e-4, &[keyword])
    };
    let cafes = (1001..=1026).map(|id| near(id, "카페"));
    let parks = (1101..=1140).map(|id| near(id, "공원"));
    let bars = (1301..=1400).map(|id| near(id, "술집"));
    let seoul = (1201..=1204).map(|id| place(id, 37.5547, 126.9700 + f64::from(id) * 1e-6, &["공원"]));
    let far = (1..=40).map(|id| place(id, 37.5552, 126.8689 + f64::from(id) * 1e-5, &["카페", "공원"]));
    World::new(cafes.chain(parks).chain(bars).chain(seoul).chain(far).collect::<Vec<StandinPlace>>())
}

fn crawl(stage: &Stage, coverage: &str) -> Program {
    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__CANARIES", "true").set("SANGGWOND_CRAWL__COVERAGE", coverage)
}

fn drift(stage: &Stage, drift: impl Into<Option<Drift>>) {
    stage.standin.set(Switches { drift: drift.into(), ..Switches::default() });
}

/// The exit code of a run with a status.
fn code(status: &str) -> i32 {
    match status {
        "succeeded" => 0,
        "partial" => 3,
        _ => 1,
    }
}

/// Two runs with a drift between two good ones.
async fn survives((how, status, text): (Drift, &str, &str), coverage: &str) {
    let stage = Stage::new(town(), STATIONS).await;
    crawl(&stage, coverage).finish().await.expect_code(0);
    let good = stage.texts(TABLES).await;
    assert!(good.len() > 60, "{how:?}: {}", good.len());

    drift(&stage, how);
    for _ in 0..2 {
        crawl(&stage, coverage).finish().await.expect_code(code(status));
    }

    let told =
        "select concat_ws('; ', reason, canaries ->> 'findings') from crawl_run order by crawl_run_id desc limit 2";
    for told in stage.texts(told).await {
        assert!(told.contains(text), "{how:?}: {told}");
    }
    let damage = "select count(*) from place_change where crawl_run_id > 1 and kind in ('closed', 'changed', 'opened')";
    assert_eq!(stage.value::<i64>(damage).await, 0, "{how:?}");
    assert_eq!(stage.texts(TABLES).await, good, "{how:?}, by {coverage}");
    drift(&stage, None);
    crawl(&stage, coverage).finish().await.expect_code(0);
    assert_eq!(stage.texts(TABLES).await, good, "{how:?}, by {coverage}, afterwards");
    let counted: i64 = stage.value("select sum(requests)::bigint from crawl_run").await;
    assert_eq!(u64::try_from(counted).unwrap(), stage.standin.requests(), "{how:?}: every request is in a row");
    let most = "select max((canaries ->> 'requests')::int) from crawl_run";
    assert!(stage.value::<i32>(most).await <= 12, "{how:?}");
    for reason in stage.texts("select reason from crawl_run where reason is not null").await {
        let korean = Language::Korean.say(&reason);
        // Commands stay as they are.
        let said = korean.split('`').step_by(2).flat_map(str::split_whitespace);
        let words = said.filter(|word| word.chars().all(|c| c.is_ascii_lowercase()));
        assert_eq!(words.collect::<Vec<_>>(), Vec::<&str>::new(), "{korean}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_in_rectangles_survives_every_drift() {
    join_all(DRIFTS.map(|(how, status, _, text)| survives((how, status, text), "complete"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_by_station_survives_every_drift() {
    join_all(DRIFTS.map(|(how, _, status, text)| survives((how, status, text), "station"))).await;
}

#[tokio::test]
async fn places_that_close_are_closed_after_the_drift_and_not_before() {
    let stage = Stage::new(town(), STATIONS).await;
    crawl(&stage, "complete").finish().await.expect_code(0);
    let mut left = town().places().to_vec();
    left.retain(|place| !place.place.id.as_str().ends_with('3'));
    stage.standin.set_world(World::new(left));

    drift(&stage, Drift::SortIgnored);
    for _ in 0..3 {
        crawl(&stage, "complete").finish().await.expect_code(3);
    }
    let closed = "select count(*) from place where closed_at is not null";
    assert_eq!(stage.value::<i64>(closed).await, 0);
    drift(&stage, None);
    for expected in [0, 8] {
        crawl(&stage, "complete").finish().await.expect_code(0);
        assert_eq!(stage.value::<i64>(closed).await, expected, "after close_after runs that prove it");
    }
}

#[tokio::test]
async fn a_first_run_has_fewer_canaries_and_notices_what_it_can() {
    let stage = Stage::new(town(), STATIONS).await;

    drift(&stage, Drift::RectIgnored);
    crawl(&stage, "complete").finish().await.expect_code(3);

    let row = "select format('%s %s %s', coverage, canaries ->> 'requests', reason) from crawl_run";
    assert_snapshot!(stage.value::<String>(row).await, @"station 7 a search by rectangle returned 15 of 15 places outside the rectangle (this run searched around the stations instead)");
    // Nothing of it is in the way of the next run.
    drift(&stage, None);
    crawl(&stage, "complete").finish().await.expect_code(0);
    let row = "select format('%s %s %s', coverage, canaries ->> 'requests', reason) from crawl_run order by 1 limit 1";
    assert_snapshot!(stage.value::<String>(row).await, @"complete 10");
}

#[tokio::test]
async fn a_part_a_resumed_run_and_one_without_the_setting_send_none() {
    let stage = Stage::new(town(), STATIONS).await;
    let canaries =
        "select coalesce((canaries ->> 'is_finished')::bool, false) from crawl_run order by crawl_run_id desc limit 1";
    crawl(&stage, "station").finish().await.expect_code(0);
    assert!(stage.value::<bool>(canaries).await);

    stage.program(&["crawl"]).finish().await.expect_code(0);
    assert!(!stage.value::<bool>(canaries).await, "crawl.canaries is false");
    let part = stage.program(&["crawl", "--keyword", "카페"]).set("SANGGWOND_CRAWL__CANARIES", "true");
    part.finish().await.expect_code(0);
    assert!(!stage.value::<bool>(canaries).await, "a part");

    let before = stage.standin.requests();
    stage.standin.hold();
    let mut running = crawl(&stage, "station").start();
    stage.standin.reached(before + 1).await;
    running.signal(Signal::SIGTERM);
    running.says("SIGTERM received").await;
    stage.standin.release();
    running.finish().await.expect_code(4);
    assert!(!stage.value::<bool>(canaries).await, "stopped while it asked");
    crawl(&stage, "station").finish().await.expect_code(0);
    assert!(stage.value::<bool>(canaries).await, "asked when it was resumed");
    let counted: i64 = stage.value("select sum(requests)::bigint from crawl_run").await;
    assert_eq!(u64::try_from(counted).unwrap(), stage.standin.requests());
}

#[tokio::test]
async fn a_user_may_accept_a_drift() {
    let stage = Stage::new(town(), STATIONS).await;
    crawl(&stage, "station").finish().await.expect_code(0);
    let world = town();
    let renumbered = world.places().iter().map(|one| {
        let mut one = one.clone();
        one.place.id = sanggwond::domain::place::PlaceId::parse(&format!("9{}", one.place.id)).unwrap();
        one
    });
    stage.standin.set_world(World::new(renumbered.collect()));
    crawl(&stage, "station").finish().await.expect_code(1);

    let accepted = stage.program(&["crawl", "--accept-drift", "--accept-closings"]);
    let accepted = accepted.set("SANGGWOND_CRAWL__CANARIES", "true");
    accepted.finish().await.expect_code(0);

    let row = "select canaries -> 'findings' -> 0 ->> 'consequence' from crawl_run order by crawl_run_id desc limit 1";
    assert_eq!(stage.value::<String>(row).await, "warning");
    assert_eq!(stage.value::<i64>("select count(*) from place where place_id like '91%'").await, 70);
}

#[tokio::test]
async fn a_run_that_was_refused_is_not_resumed_as_if_nothing_had_been_found() {
    let stage = Stage::new(town(), STATIONS).await;
    crawl(&stage, "complete").finish().await.expect_code(0);
    drift(&stage, Drift::FieldRenamed);
    crawl(&stage, "complete").finish().await.expect_code(1);

    // As if its process had been killed before it recorded the end.
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null where crawl_run_id = 2").await;
    let accepted = stage.program(&["crawl", "--accept-drift"]).finish().await.expect_code(2);
    assert!(accepted.stderr.contains("there is an unfinished run"), "{}", accepted.stderr);
    crawl(&stage, "complete").finish().await.expect_code(1);

    let run = "select format('%s %s %s %s', status, resumed_count, requests, cells_done) from crawl_run where crawl_run_id = 2";
    assert_eq!(stage.value::<String>(run).await, "failed 1 2 0");
    assert_eq!(stage.value::<i64>("select count(*) from place where name = ''").await, 0);
}

#[tokio::test]
async fn a_larger_radius_and_a_new_building_are_no_drift() {
    let stage = Stage::new(town(), STATIONS).await;
    let within = |radius_m: &str| crawl(&stage, "complete").set("SANGGWOND_CRAWL__RADIUS_M", radius_m);
    within("300").finish().await.expect_code(0);

    stage.program(&["crawl", "--retire"]).set("SANGGWOND_CRAWL__COVERAGE", "complete").finish().await.expect_code(0);
    within("1000").finish().await.expect_code(0);
    let building = (1501..=1520).map(|id| place(id, 37.5550, 126.9365, &["카페", "공원"]));
    stage.standin.set_world(World::new(town().places().iter().cloned().chain(building).collect()));
    within("1000").finish().await.expect_code(0);

    let found = "select string_agg(canaries ->> 'findings', ' ') from crawl_run where canaries is not null";
    assert_eq!(stage.value::<String>(found).await, "[] [] []");
    assert_eq!(stage.value::<i64>("select count(*) from place where place_id like '15__'").await, 20);
}

#[tokio::test]
async fn a_place_that_opens_after_a_run_without_rectangles_is_recorded_as_opened() {
    let stage = Stage::new(town(), STATIONS).await;
    crawl(&stage, "complete").finish().await.expect_code(0);
    drift(&stage, Drift::RectIgnored);
    crawl(&stage, "complete").finish().await.expect_code(3);

    drift(&stage, None);
    let opened = place(1501, 37.5550, 126.9365, &["카페"]);
    stage.standin.set_world(World::new(town().places().iter().cloned().chain([opened]).collect()));
    crawl(&stage, "complete").finish().await.expect_code(0);

    let changes = stage.texts("select format('%s %s', kind, place_id) from place_change where crawl_run_id > 1").await;
    assert_eq!(changes, ["opened 1501"]);
}

#[tokio::test]
async fn a_count_of_four_billion_is_a_finding_and_no_bug() {
    let stage = Stage::new(town(), STATIONS).await;
    let most = r#"{"documents":[],"meta":{"is_end":true,"pageable_count":0,"total_count":4294967295}}"#;
    stage.standin.script([Fault::Body(most.to_owned())]);

    crawl(&stage, "station").finish().await.expect_code(3);

    let reason = "the same search counted 0 places, and 4294967295 another time (no place was counted as missing)";
    assert_eq!(stage.value::<String>("select reason from crawl_run").await, reason);
}

#[tokio::test]
async fn what_the_canaries_found_is_shown() {
    let stage = Stage::new(town(), STATIONS).await;
    crawl(&stage, "complete").finish().await.expect_code(0);
    drift(&stage, Drift::LowLimit);
    crawl(&stage, "complete").finish().await.expect_code(0);

    let lines = |text: &str, of: &str| text.lines().filter(|line| line.contains(of)).collect::<Vec<_>>().join("\n");
    let run = stage.program(&["runs", "2"]).finish().await.expect_code(0).stdout;
    assert_snapshot!(lines(&run, "canaries"), @r"
    canaries                      10 requests: 1 finding
    canaries.limit                warning: the API shows at most 30 results of a search, not 45
    settings.canaries             true
    ");
    let status = stage.program(&["status"]).finish().await.stdout;
    assert_snapshot!(lines(&status, "API"), @"API         the API shows at most 30 results of a search, not 45");
    let report = stage.folder.path().join("report.html");
    stage.program(&["report", "--output", report.to_str().unwrap()]).finish().await.expect_code(0);
    let page = std::fs::read_to_string(report).unwrap();
    assert!(page.contains("The API has changed: the API shows at most 30 results of a search, not 45."), "{page}");
}

#[tokio::test]
async fn check_sends_the_same_canaries_and_prints_what_they_find() {
    let stage = Stage::new(town(), STATIONS).await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let check = || {
        let check = stage.program(&["check", "--coverage", "--station", "신촌"]);
        check.set("SANGGWOND_CRAWL__COVERAGE", "complete")
    };
    let line = |stdout: &str| stdout.lines().last().unwrap().to_owned();

    let first = check().finish().await.expect_code(0);
    assert_snapshot!(line(&first.stdout), @"ok      coverage: 카페 near 신촌역, 8 requests: the API does what a run relies on");
    crawl(&stage, "complete").finish().await.expect_code(0);
    let known = check().finish().await.expect_code(0);
    assert_snapshot!(line(&known.stdout), @"ok      coverage: 공원 near 신촌역, 11 requests: the API does what a run relies on");
    drift(&stage, Drift::LowLimit);
    let warned = check().finish().await.expect_code(0);
    assert_snapshot!(line(&warned.stdout), @"ok      coverage: 공원 near 신촌역, 10 requests: a run would only record this: the API shows at most 30 results of a search, not 45");
    drift(&stage, Drift::HalfMissing);
    let failed = check().finish().await.expect_code(1);
    assert_snapshot!(line(&failed.stdout), @"FAILED  coverage: 공원 near 신촌역, 10 requests: the API differs from what a run relies on: the search for 공원 returned only 14 of 28 known places; none of 3 known places is found by its name");
    let unknown = stage.program(&["check", "--coverage", "--station", "서울대"]).finish().await.expect_code(1);
    assert_snapshot!(line(&unknown.stdout), @r#"FAILED  coverage: no station is called "서울대""#);
}
