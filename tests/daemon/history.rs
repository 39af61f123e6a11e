//! The run's row, its ledger, and the views that people read.

use nix::sys::signal::Signal;
use sqlx::postgres::PgListener;

use crate::support::Stage;
use crate::support::ledger::SUMS;

#[tokio::test]
async fn a_run_is_one_row_that_tells_all() {
    let stage = Stage::small().await;

    stage.crawl().await;

    let row = "select format('%s %s %s | %s of %s, %s pending | %s requests | %s seen, %s new | %s %s', trigger, status, coverage,
        cells_done, cells_total, cells_pending, requests, places_seen, places_new, version, reason is null) from crawl_run";
    let expected = format!(
        "manual succeeded station | 6 of 6, 0 pending | 8 requests | 26 seen, 26 new | {} t",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(stage.value::<String>(row).await, expected);
    assert!(stage.value::<bool>(SUMS).await);
    assert!(
        stage.value::<bool>("select finished_at >= heartbeat_at and heartbeat_at >= started_at from crawl_run").await
    );
    assert_eq!(stage.value::<i32>("select (settings ->> 'radius_m')::int from crawl_run").await, 1000);
    assert_eq!(stage.value::<String>("select verdict from run_history").await, "all 6 cells done");
    let coverage = "select format('%s %s %s', station_name, keyword, places) from station_coverage where station_name = '서울역' order by 1";
    assert_eq!(stage.texts(coverage).await, ["서울역 공원 0", "서울역 카페 5"]);
}

#[tokio::test]
async fn a_run_is_alive_while_it_works_and_unfinished_after_a_signal() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start();
    stage.standin.reached(5).await;
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "running");

    running.signal(Signal::SIGTERM);
    let mut running = running;
    running.says("SIGTERM received").await;
    stage.standin.release();
    let finished = running.finish().await.expect_code(4);

    assert!(finished.stdout.contains("run 1 interrupted (stopped by a signal)"), "{}", finished.stdout);
    assert_eq!(stage.standin.requests(), 5, "no request after the signal");
    let row: String =
        stage.value("select format('%s %s %s', status, cells_done > 0, finished_at is null) from crawl_run").await;
    assert_eq!(row, "interrupted t t");
    assert!(stage.value::<bool>(SUMS).await);

    let done: i32 = stage.value("select cells_done from crawl_run").await;
    let resumed = stage.program(&["crawl"]).finish().await.expect_code(0);

    assert!(resumed.stderr.contains("run 1 goes on where it was interrupted"), "{}", resumed.stderr);
    assert_eq!(
        stage.value::<String>("select format('%s %s', status, resumed_count) from crawl_run").await,
        "succeeded 1"
    );
    assert!(done > 0 && stage.value::<bool>(SUMS).await);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}

#[tokio::test]
async fn fresh_gives_an_unfinished_run_up_and_begins_anew() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute("update crawl_run set status = 'interrupted', finished_at = null").await;

    stage.program(&["crawl", "--fresh"]).finish().await.expect_code(0);

    let runs = stage.texts("select status || coalesce(': ' || reason, '') from crawl_run order by crawl_run_id").await;
    assert_eq!(runs, ["failed: given up by hand: crawl --fresh", "succeeded"]);
}

#[tokio::test]
async fn a_run_whose_closings_were_held_back_is_told_from_one_with_failed_cells() {
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
async fn every_table_view_type_function_and_column_says_what_it_is() {
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
async fn the_end_of_a_run_is_told_to_whoever_listens() {
    let stage = Stage::small().await;
    let mut listener = PgListener::connect_with(stage.pool()).await.unwrap();
    listener.listen("sanggwond_run").await.unwrap();

    stage.crawl().await;

    let told: serde_json::Value = serde_json::from_str(listener.recv().await.unwrap().payload()).unwrap();
    assert_eq!((&told["crawl_run_id"], &told["status"]), (&1.into(), &"succeeded".into()));
    assert_eq!((&told["places_new"], &told["places_closed"], &told["reason"]), (&26.into(), &0.into(), &().into()));
}
