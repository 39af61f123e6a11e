//! The daemon: when it runs, and how it stops.

use insta::assert_snapshot;
use nix::sys::signal::Signal;

use crate::support::Stage;

/// Every run in one line.
const RUNS: &str =
    "select format('%s %s %s', trigger, status, scheduled_for at time zone 'UTC') from crawl_run order by crawl_run_id";

#[tokio::test]
async fn a_new_installation_crawls_immediately_and_then_waits_for_monday() {
    let stage = Stage::small().await;

    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as succeeded").await;
    let said = daemon.stderr();
    daemon.terminate().await.expect_code(0);

    let runs = stage.texts(RUNS).await;
    assert_eq!(runs.len(), 1);
    assert!(runs[0].starts_with("catch_up succeeded ") && runs[0].ends_with(" 18:00:00"), "{runs:?}");
    assert!(said.contains("next runs by \\\"0 0 3 * * Mon\\\" (Asia/Seoul): Mon "), "{said}");
    assert!(said.contains(" 03:00:00 Seoul (Sun 18:00:00 UTC)"), "{said}");
    assert_eq!(stage.value::<i64>("select count(*) from daemon").await, 0, "a daemon that stops takes its row along");
}

#[tokio::test]
async fn a_catch_up_window_of_zero_disables_catch_up() {
    let stage = Stage::small().await;

    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__CATCH_UP_WINDOW", "0s").start();
    daemon.says("next runs by").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.texts(RUNS).await, Vec::<String>::new());
    assert_eq!(stage.standin.requests(), 0);
}

#[tokio::test]
async fn a_disabled_schedule_starts_nothing() {
    let stage = Stage::small().await;

    let mut daemon = stage.program(&["daemon"]).set("SANGGWOND_SCHEDULE__ENABLED", "false").start();
    daemon.says("the schedule is disabled").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.texts(RUNS).await, Vec::<String>::new());
}

#[tokio::test]
async fn one_run_starts_on_monday_at_three_in_seoul_regardless_of_tz() {
    let stage = Stage::small().await;

    // The heartbeat would find the tick too. Here it is 1 h, so that only the cron job can start the run.
    let mut daemon = stage
        .daemon_from("2026-11-22 17:59:50")
        .set("SANGGWOND_SCHEDULE__CATCH_UP_WINDOW", "0s")
        .set("SANGGWOND_SCHEDULE__HEARTBEAT", "1h")
        .start();
    daemon.says("run 1 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);
    // Another daemon, started later that Monday, finds nothing due.
    let mut late = stage
        .daemon_from("2026-11-22 18:00:30")
        .set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug")
        .start();
    late.says("nothing is due").await;
    late.terminate().await.expect_code(0);

    assert_eq!(stage.texts(RUNS).await, ["schedule succeeded 2026-11-22 18:00:00"]);
    let late: f64 = stage.value("select extract(epoch from started_at - scheduled_for)::float8 from crawl_run").await;
    assert!((0.0..60.0).contains(&late), "{late} s late");
    assert_eq!(stage.standin.requests(), 8);
}

#[tokio::test]
async fn a_run_interrupted_by_a_signal_is_resumed_by_the_next_daemon() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = stage.program(&[]).start();
    stage.standin.reached(5).await;
    daemon.signal(Signal::SIGINT);
    daemon.says("SIGINT received").await;
    stage.standin.release();
    daemon.finish().await.expect_code(0);
    assert!(stage.texts(RUNS).await[0].starts_with("catch_up interrupted"));

    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.texts(RUNS).await.len(), 1);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}

#[tokio::test]
async fn after_a_second_signal_the_next_holder_of_the_lock_corrects_the_row() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = stage.program(&[]).start();
    stage.standin.reached(5).await;
    daemon.signal(Signal::SIGTERM);
    daemon.says("SIGTERM received").await;
    daemon.terminate().await.expect_code(4);
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "running");
    stage.standin.release();

    stage.crawl().await;

    assert_snapshot!(stage.rows("select status, resumed_count from crawl_run").await, @"
    status     resumed_count
    succeeded  1
    ");
}

#[tokio::test]
async fn the_grace_period_ends_a_run_whose_answers_do_not_come() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let daemon = stage.program(&[]).set("SANGGWOND_SHUTDOWN__GRACE", "200ms").start();
    stage.standin.reached(5).await;

    daemon.terminate().await.expect_code(0);

    let reason: String = stage.value("select status || ': ' || reason from crawl_run").await;
    assert_eq!(reason, "interrupted: stopped by a signal; the grace period ended before the last answers arrived");
}

#[tokio::test]
async fn many_manual_runs_do_not_hide_a_tick() {
    let stage = Stage::small().await;
    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);
    stage
        .execute(
            "insert into crawl_run (trigger, status, coverage, started_at, heartbeat_at, finished_at, version, host)
             select 'manual', 'succeeded', 'station', now(), now(), now(), '0', 'here' from generate_series(1, 150)",
        )
        .await;

    let idle = stage.program(&[]).set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug");
    let mut daemon = idle.start();
    daemon.says("nothing is due").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 151);
}

#[tokio::test]
async fn no_catch_up_follows_a_full_manual_run_after_the_tick() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.crawl().await;
    let requests = stage.standin.requests();

    let mut daemon = stage.program(&[]).set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug").start();
    daemon.says("manual run 1 counts for the tick").await;
    daemon.says("nothing is due").await;
    daemon.terminate().await.expect_code(0);

    let runs = stage.texts(RUNS).await;
    assert_eq!(runs.len(), 2, "{runs:?}");
    assert!(runs[0].starts_with("manual succeeded 20") && runs[0].ends_with(" 18:00:00"), "{runs:?}");
    assert_eq!(runs[1], "manual succeeded ", "one run is enough for a tick");
    assert_eq!(stage.standin.requests(), requests);
}

#[tokio::test]
async fn a_partial_scope_or_unfinished_manual_run_does_not_count_for_a_tick() {
    let stage = Stage::small().await;
    stage.program(&["crawl", "--station", "신촌"]).finish().await.expect_code(0);
    stage.standin.hold();
    let by_hand = stage.program(&["crawl"]).start();
    stage.standin.reached(stage.standin.requests() + 5).await;
    by_hand.kill().await;
    stage.standin.release();

    let mut daemon = stage.program(&[]).set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug").start();
    daemon.says("run 2 resumed").await;
    daemon.says("manual run 2 counts for the tick").await;
    daemon.says("nothing is due").await;
    daemon.terminate().await.expect_code(0);

    let runs = stage.texts(RUNS).await;
    assert!(runs[0] == "manual succeeded " && runs[1].starts_with("manual succeeded 20"), "{runs:?}");
}

#[tokio::test]
async fn daily_log_files_are_written_if_a_folder_is_configured() {
    let stage = Stage::small().await;
    let logs = stage.folder.path().join("logs");

    stage.program(&["crawl"]).set("SANGGWOND_LOG__DIRECTORY", logs.to_str().unwrap()).finish().await.expect_code(0);

    let files: Vec<_> = std::fs::read_dir(&logs).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let line = std::fs::read_to_string(&files[0]).unwrap().lines().last().unwrap().to_owned();
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(entry["message"].as_str().unwrap().starts_with("run 1 ended as succeeded"), "{entry}");
}
