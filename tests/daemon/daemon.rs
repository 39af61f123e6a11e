//! The daemon: when it runs, and how it stops.

use nix::sys::signal::Signal;

use crate::support::Stage;
use crate::support::program::Running;

/// Every run in one line.
const RUNS: &str =
    "select format('%s %s %s', trigger, status, scheduled_for at time zone 'UTC') from crawl_run order by crawl_run_id";

async fn stop(running: Running) {
    running.signal(Signal::SIGTERM);
    running.finish().await.expect_code(0);
}

#[tokio::test]
async fn a_new_installation_crawls_at_once_and_then_waits_for_monday() {
    let stage = Stage::small().await;

    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as succeeded").await;
    let said = daemon.stderr();
    stop(daemon).await;

    let runs = stage.texts(RUNS).await;
    assert_eq!(runs.len(), 1);
    assert!(runs[0].starts_with("catch_up succeeded ") && runs[0].ends_with(" 18:00:00"), "{runs:?}");
    assert!(said.contains("next runs by \\\"0 0 3 * * Mon\\\" (Asia/Seoul): Mon "), "{said}");
    assert!(said.contains(" 03:00:00 Seoul (Sun 18:00:00 UTC)"), "{said}");
    assert_eq!(stage.value::<i64>("select count(*) from daemon").await, 0, "a daemon that stops takes its row along");
}

#[tokio::test]
async fn nothing_is_caught_up_with_a_window_of_zero() {
    let stage = Stage::small().await;

    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__CATCH_UP_WINDOW", "0s").start();
    daemon.says("next runs by").await;
    stop(daemon).await;

    assert_eq!(stage.texts(RUNS).await, Vec::<String>::new());
    assert_eq!(stage.standin.requests(), 0);
}

#[tokio::test]
async fn a_disabled_schedule_starts_nothing() {
    let stage = Stage::small().await;

    let mut daemon = stage.program(&["daemon"]).set("SANGGWOND_SCHEDULE__ENABLED", "false").start();
    daemon.says("the schedule is off").await;
    stop(daemon).await;

    assert_eq!(stage.texts(RUNS).await, Vec::<String>::new());
}

#[tokio::test]
async fn it_runs_on_monday_at_three_in_seoul_whatever_tz_says_and_once() {
    let stage = Stage::small().await;

    // A heartbeat would find the tick as well; here the cron job has to, alone.
    let mut daemon = stage
        .daemon_from("2026-11-22 17:59:50")
        .set("SANGGWOND_SCHEDULE__CATCH_UP_WINDOW", "0s")
        .set("SANGGWOND_SCHEDULE__HEARTBEAT", "1h")
        .start();
    daemon.says("run 1 ended as succeeded").await;
    stop(daemon).await;
    // Later that Monday another daemon finds nothing to do.
    let mut late = stage
        .daemon_from("2026-11-22 18:00:30")
        .set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug")
        .start();
    late.says("nothing is due").await;
    stop(late).await;

    assert_eq!(stage.texts(RUNS).await, ["schedule succeeded 2026-11-22 18:00:00"]);
    let late: f64 = stage.value("select extract(epoch from started_at - scheduled_for)::float8 from crawl_run").await;
    assert!((0.0..5.0).contains(&late), "{late} s late");
    assert_eq!(stage.standin.requests(), 8);
}

#[tokio::test]
async fn a_signal_during_a_run_interrupts_it_and_the_next_daemon_goes_on() {
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
    stop(daemon).await;

    assert_eq!(stage.texts(RUNS).await.len(), 1);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_the_next_holder_of_the_lock_puts_the_row_right() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = stage.program(&[]).start();
    stage.standin.reached(5).await;
    daemon.signal(Signal::SIGTERM);
    daemon.says("SIGTERM received").await;
    daemon.signal(Signal::SIGTERM);
    daemon.finish().await.expect_code(4);
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "running");
    stage.standin.release();

    stage.crawl().await;

    assert_eq!(
        stage.value::<String>("select format('%s %s', status, resumed_count) from crawl_run").await,
        "succeeded 1"
    );
}

#[tokio::test]
async fn the_grace_period_ends_a_run_whose_answers_do_not_come() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let daemon = stage.program(&[]).set("SANGGWOND_SHUTDOWN__GRACE", "200ms").start();
    stage.standin.reached(5).await;

    stop(daemon).await;

    let reason: String = stage.value("select status || ': ' || reason from crawl_run").await;
    assert_eq!(reason, "interrupted: stopped by a signal; the last answers came too late");
}

#[tokio::test]
async fn any_number_of_runs_by_hand_hides_no_tick() {
    let stage = Stage::small().await;
    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as succeeded").await;
    stop(daemon).await;
    stage
        .execute(
            "insert into crawl_run (trigger, status, coverage, started_at, heartbeat_at, finished_at, version, host)
             select 'manual', 'succeeded', 'station', now(), now(), now(), '0', 'here' from generate_series(1, 150)",
        )
        .await;

    let idle = stage.program(&[]).set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug");
    let mut daemon = idle.start();
    daemon.says("nothing is due").await;
    stop(daemon).await;

    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 151);
}

#[tokio::test]
async fn daily_files_are_written_where_a_folder_is_named() {
    let stage = Stage::small().await;
    let logs = stage.folder.path().join("logs");

    stage.program(&["crawl"]).set("SANGGWOND_LOG__DIRECTORY", logs.to_str().unwrap()).finish().await.expect_code(0);

    let files: Vec<_> = std::fs::read_dir(&logs).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let line = std::fs::read_to_string(&files[0]).unwrap().lines().last().unwrap().to_owned();
    let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(entry["message"].as_str().unwrap().starts_with("run 1 ended as succeeded"), "{entry}");
}
