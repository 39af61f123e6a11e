//! The run's row, its ledger, and the views that people read.

use insta::assert_snapshot;
use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, Switches, World};
use sqlx::postgres::PgListener;

use crate::closings::NONE;
use crate::support::Stage;
use crate::support::ledger::wrong_counters;
use crate::support::town::{STATIONS, place, places};

#[tokio::test]
async fn the_row_of_a_run_has_its_status_and_all_counts() {
    let stage = Stage::small().await;

    stage.crawl().await;

    let row = "select trigger, status, reason, coverage, radius_m, cells_total, cells_done, cells_pending, requests,
        places_seen, places_new from crawl_run";
    assert_snapshot!(stage.rows(row).await, @"
    trigger  status     reason  coverage  radius_m  cells_total  cells_done  cells_pending  requests  places_seen  places_new
    manual   succeeded  –       station   1000      6            6           0              8         26           26
    ");
    assert_eq!(stage.value::<String>("select version from crawl_run").await, env!("CARGO_PKG_VERSION"));
    assert_eq!(wrong_counters(&stage).await, NONE);
    assert!(
        stage.value::<bool>("select finished_at >= heartbeat_at and heartbeat_at >= started_at from crawl_run").await
    );
    assert_eq!(stage.value::<String>("select verdict from run_history").await, "all 6 cells done");
    let coverage = "select keyword, places from station_coverage where station_name = '서울역' order by 1";
    assert_snapshot!(stage.rows(coverage).await, @"
    keyword  places
    공원     0
    카페     5
    ");
}

#[tokio::test]
async fn a_run_is_running_while_it_works_and_interrupted_after_a_signal() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start();
    stage.standin.reached(5).await;
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "running");
    let verdict: String = stage.value("select verdict from run_history").await;
    assert!(verdict.starts_with("0 of 6 cells done, last heartbeat 20"), "it waits for nothing: {verdict}");

    running.signal(Signal::SIGTERM);
    let mut running = running;
    running.says("SIGTERM received").await;
    stage.standin.release();
    let finished = running.finish().await.expect_code(4);

    assert!(finished.stdout.contains("run 1 interrupted (stopped by a signal)"), "{}", finished.stdout);
    assert_eq!(stage.standin.requests(), 5, "no request after the signal");
    assert_snapshot!(stage.rows("select status, finished_at from crawl_run").await, @"
    status       finished_at
    interrupted  –
    ");
    assert_eq!(wrong_counters(&stage).await, NONE);

    let done: i32 = stage.value("select cells_done from crawl_run").await;
    assert!(done > 0, "the answers in flight are stored");
    let resumed = stage.program(&["crawl"]).finish().await.expect_code(0);

    assert!(resumed.stderr.contains("run 1 resumed"), "{}", resumed.stderr);
    assert_snapshot!(stage.rows("select status, resumed_count from crawl_run").await, @"
    status     resumed_count
    succeeded  1
    ");
    assert_eq!(wrong_counters(&stage).await, NONE);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}

/// The places that the newest run counts, and those that have its number.
const PLACES_SEEN: &str = "select format('%s counted, %s stamped', places_seen,
        (select count(distinct place_id) from place_keyword where last_seen_run = crawl_run_id))
    from crawl_run order by crawl_run_id desc limit 1";

/// Checks that all counters of the runs are right.
async fn check_counters(stage: &Stage) {
    assert_eq!(wrong_counters(stage).await, NONE);
    let places: String = stage.value(PLACES_SEEN).await;
    let counted = places.split(' ').next().unwrap();
    assert_eq!(places, format!("{counted} counted, {counted} stamped"));
}

#[tokio::test]
async fn the_counts_of_split_cells_and_places_are_right_while_a_run_works() {
    // More cafés than the API shows of a rectangle, and parks that wait 1 h for a retry.
    let crowd = (1..=60).map(|id| place(id, 37.5547, 126.9700 + f64::from(id) * 1e-4, &["카페", "공원"]));
    let stage = Stage::new(World::new(crowd.collect()), STATIONS).await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let faults_for = vec![("공원".to_owned(), Fault::Status(500, false))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
    let crawl = || stage.program(&["crawl"]).set("SANGGWOND_CRAWL__COVERAGE", "complete");

    let running = crawl().set("SANGGWOND_KAKAO__BACKOFF", "1h").start();
    stage.becomes_true("select coalesce(max(cells_split), 0) > 0 from crawl_run").await;

    let verdict: String = stage.value("select verdict from run_history").await;
    let done = "select format('%s of %s cells done, ', cells_done + cells_split, cells_total) from crawl_run";
    let done: String = stage.value(done).await;
    assert!(verdict.starts_with(&done), "{verdict:?} does not start with {done:?}");
    assert!(stage.value::<i32>("select places_seen from crawl_run").await > 0);
    check_counters(&stage).await;
    running.kill().await;
    stage.standin.set(Switches::default());

    // The process that resumes the run counts nothing twice.
    let finished = crawl().finish().await.expect_code(0);

    check_counters(&stage).await;
    assert_eq!(stage.value::<i32>("select places_seen from crawl_run").await, 60);
    let all: i32 = stage.value("select cells_total from crawl_run").await;
    assert!(finished.stdout.contains(&format!("cells     {all} of {all} done (")), "{}", finished.stdout);
    assert!(
        finished.stderr.contains(&format!("run 1 ended as succeeded: {all} cells done, 0 failed, 0 pending")),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn the_running_count_of_places_equals_the_count_at_the_end() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage
        .execute(
            "create table closing (counted int, stamped int);
             create function closing() returns trigger language plpgsql as $$ begin
                 insert into closing values (old.places_seen, new.places_seen);
                 return new;
             end $$;
             create trigger closing before update on crawl_run for each row
                 when (old.status = 'running' and new.status <> 'running') execute function closing()",
        )
        .await;
    let gone = |from: u32| places().into_iter().filter(move |one| one.rank >= u64::from(from)).collect();

    // Two places are missed twice, searched for by name, closed, and found again. Then a run is interrupted and
    // resumed.
    stage.crawl().await;
    for from in [3, 3, 1] {
        stage.standin.set_world(World::new(gone(from)));
        stage.crawl().await;
    }
    stage.standin.hold();
    let mut running = stage.program(&["crawl"]).start();
    stage.standin.reached(stage.standin.requests() + 5).await;
    running.signal(Signal::SIGTERM);
    running.says("SIGTERM received").await;
    stage.standin.release();
    running.finish().await.expect_code(4);
    stage.crawl().await;

    let different =
        "select format('%s counted, %s at the end', counted, stamped) from closing where counted <> stamped";
    assert_eq!(stage.texts(different).await, NONE);
    let counted: Vec<i32> = sqlx::query_scalar("select counted from closing").fetch_all(stage.pool()).await.unwrap();
    assert_eq!((&counted[..4], counted.len(), counted[5]), (&[26, 24, 24, 26][..], 6, 26), "run 5 was interrupted");
}

#[tokio::test]
async fn a_full_run_is_compared_with_earlier_full_runs_of_its_coverage_except_the_first() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage
        .execute(
            r#"insert into crawl_run (trigger, status, coverage, scope, requests, places_seen, started_at, heartbeat_at,
                 finished_at, version, host)
             select 'manual', status, coverage, scope::jsonb, requests, requests, now(), now(),
                 now() + requests * interval '1 minute', '0', 'here'
             from (values
                 ('succeeded', 'station', null, 9000),
                 ('succeeded', 'station', null, 10),
                 ('succeeded', 'station', '{"stations": ["서울역"], "keywords": []}', 1),
                 ('succeeded', 'complete', null, 8000),
                 ('partial', 'station', null, 20),
                 ('failed', 'station', null, 2),
                 ('skipped', 'station', null, 0),
                 ('succeeded', 'complete', null, 500),
                 ('succeeded', 'station', null, 60),
                 ('succeeded', 'complete', null, 600),
                 ('succeeded', 'complete', '{"stations": [], "keywords": ["카페"]}', 3)) as run (status, coverage, scope, requests)"#,
        )
        .await;

    let usual = "select crawl_run_id as run, coverage, scope is null as is_full, requests, usual_requests,
        usual_duration from run_history order by 1";

    // Run 9 is compared with runs 2 and 5, run 10 with run 8. Before runs 2 and 8 there is only the first one.
    assert_snapshot!(stage.rows(usual).await, @"
    run  coverage  is_full  requests  usual_requests  usual_duration
    1    station   true     9000      –               –
    2    station   true     10        –               –
    3    station   false    1         –               –
    4    complete  true     8000      –               –
    5    station   true     20        10              00:10:00
    6    station   true     2         15              00:15:00
    7    station   true     0         15              00:15:00
    8    complete  true     500       –               –
    9    station   true     60        15              00:15:00
    10   complete  true     600       500             08:20:00
    11   complete  false    3         –               –
    ");
}

#[tokio::test]
async fn fresh_abandons_an_unfinished_run_and_starts_a_new_one() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null").await;

    stage.program(&["crawl", "--fresh"]).finish().await.expect_code(0);

    let runs = stage.texts("select status || coalesce(': ' || reason, '') from crawl_run order by crawl_run_id").await;
    assert_eq!(runs, ["failed: abandoned by hand: crawl --fresh", "succeeded"]);
}

#[tokio::test]
async fn fresh_abandons_nothing_if_the_new_run_cannot_start() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage
        .execute(
            r#"update crawl_run set status = 'interrupted', finished_at = null,
                 scope = '{"stations": ["서울역"], "keywords": []}'"#,
        )
        .await;

    let refused = stage.program(&["crawl", "--fresh", "--station", "서울억"]).finish().await.expect_code(2);

    assert!(refused.stderr.contains("no station is called"), "{}", refused.stderr);
    assert_eq!(stage.texts("select status from crawl_run").await, ["interrupted"]);
}

#[tokio::test]
async fn the_verdict_distinguishes_discarded_misses_from_failed_cells() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage
        .execute(
            "update crawl_run set status = 'partial', reason = '12 of 40 카페 are missed, too many to be believed',
                 places_missed = 12, places_closed = 3, places_reopened = 2",
        )
        .await;

    let counted = "select format('%s missed, %s closed, %s reopened, %s split: %s', places_missed, places_closed,
        places_reopened, cells_split, verdict) from run_history";
    let held =
        "12 missed, 3 closed, 2 reopened, 0 split: all 6 cells done: 12 of 40 카페 are missed, too many to be believed";
    assert_eq!(stage.value::<String>(counted).await, held);

    stage.execute("update crawl_run set cells_done = 5, cells_failed = 1, reason = '1 cell failed twice'").await;
    let verdict: String = stage.value("select verdict from run_history").await;
    assert_eq!(verdict, "1 of 6 cells failed: 1 cell failed twice");
}

#[tokio::test]
async fn every_table_view_type_function_and_column_has_a_comment() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);

    let silent = stage
        .texts(
            "select c.relname || coalesce('.' || a.attname, '') from pg_class c
             left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relnamespace = 'sanggwond'::regnamespace and c.relkind in ('r', 'v', 'c') and c.relname <> '_sqlx_migrations'
             and (col_description(c.oid, a.attnum) is null
                 or coalesce(obj_description(c.oid, 'pg_class'), obj_description(c.reltype, 'pg_type')) is null)
             union all
             select proname from pg_proc
             where pronamespace = 'sanggwond'::regnamespace and obj_description(oid, 'pg_proc') is null",
        )
        .await;

    assert_eq!(silent, Vec::<String>::new());
}

#[tokio::test]
async fn the_end_of_a_run_sends_a_notification() {
    let stage = Stage::small().await;
    let mut listener = PgListener::connect_with(stage.pool()).await.unwrap();
    listener.listen("sanggwond_run").await.unwrap();

    stage.crawl().await;

    let told: serde_json::Value = serde_json::from_str(listener.recv().await.unwrap().payload()).unwrap();
    assert_eq!((&told["crawl_run_id"], &told["status"]), (&1.into(), &"succeeded".into()));
    assert_eq!((&told["places_new"], &told["places_closed"], &told["reason"]), (&26.into(), &0.into(), &().into()));
}

#[tokio::test]
async fn the_row_of_a_run_and_what_is_made_from_it_show_where_its_time_went() {
    let stage = Stage::small().await;
    stage.standin.script([Fault::Throttled { retry_after: Some("1".to_owned()) }]);
    stage.program(&["crawl"]).set("SANGGWOND_CRAWL__PAGE_DELAY", "600ms").finish().await.expect_code(0);

    let status = stage.program(&["status"]).finish().await.expect_code(0).stdout;
    let one = stage.program(&["runs", "1"]).finish().await.expect_code(0).stdout;
    let report = stage.program(&["report"]).finish().await.expect_code(0).stdout;

    let paused =
        "select (pauses_s ->> 'throttled')::float8 > 0.5 and page_delays_s > 0.2 and database_s > 0 from crawl_run";
    assert!(stage.value::<bool>(paused).await, "{one}");
    let whole = "select requests_s + database_s + page_delays_s + (pauses_s ->> 'throttled')::float8
        <= extract(epoch from finished_at - started_at) + 0.2 from crawl_run";
    assert!(stage.value::<bool>(whole).await, "each moment counts once: {one}");
    assert!(one.contains("pauses_s                      {\"throttled\":"), "{one}");
    assert!(status.contains("in pauses (throttled "), "{status}");
    assert!(report.contains("Its time: ") && report.contains("in pauses (throttled "), "{report}");
}
