//! Unfinished runs: what interrupts them, and how they are resumed.

use insta::assert_snapshot;
use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, Switches};

use crate::support::Stage;

async fn status(stage: &Stage) -> String {
    stage.value("select status || coalesce(': ' || reason, '') from crawl_run order by crawl_run_id desc limit 1").await
}

#[tokio::test]
async fn a_signal_ends_every_wait_immediately() {
    let retry_after = Some("3600".to_owned());
    // The fault that causes the wait, and the setting that makes it long.
    let waits = [
        ("a page delay", None, ("SANGGWOND_CRAWL__PAGE_DELAY", "1h")),
        ("a pause", Some(Fault::Throttled { retry_after }), ("SANGGWOND_CRAWL__PAGE_DELAY", "1h")),
        ("a wait before a retry", Some(Fault::Status(500, false)), ("SANGGWOND_KAKAO__BACKOFF", "1h")),
    ];
    for (wait, fault, (variable, value)) in waits {
        let stage = Stage::small().await;
        stage.standin.script(fault);
        let running = stage.program(&["crawl"]).set(variable, value).start();
        stage.standin.reached(1).await;

        running.terminate().await.expect_code(4);

        assert_eq!(status(&stage).await, "interrupted: stopped by a signal", "{wait}");
        // A resumed run would keep its settings and wait again, so start a fresh one.
        stage.program(&["crawl", "--fresh"]).finish().await.expect_code(0);
        assert_eq!(stage.value::<i64>("select count(*) from place").await, 26, "{wait}");
    }
}

#[tokio::test]
async fn a_second_attempt_that_a_signal_stops_is_made_when_the_run_is_resumed() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let parks = |fault| Switches { faults_for: vec![("공원".to_owned(), fault)], ..Switches::default() };
    stage.standin.set(parks(Fault::Status(500, false)));
    // The lock blocks writes, so no second attempt starts before all first ones have failed.
    let mut blocker = stage.pool().begin().await.unwrap();
    sqlx::query("lock table place in share mode").execute(&mut *blocker).await.unwrap();
    let crawl = || stage.program(&["crawl"]).set("SANGGWOND_KAKAO__MAX_ATTEMPTS", "1");
    let running = crawl().set("SANGGWOND_SHUTDOWN__GRACE", "200ms").start();
    stage.standin.reached(8).await;
    stage.standin.set(parks(Fault::Hang));
    blocker.rollback().await.unwrap();
    // The second attempts of the three cells of 공원.
    stage.standin.reached(11).await;

    running.terminate().await.expect_code(4);

    assert_eq!(
        status(&stage).await,
        "interrupted: stopped by a signal; the grace period ended before the last answers arrived"
    );
    let cells = "select status, failures, count(*) as cells from crawl_cell group by 1, 2 order by 1, 2";
    assert_snapshot!(stage.rows(cells).await, @"
    status   failures  cells
    done     0         3
    pending  1         3
    ");
    stage.standin.set(Switches::default());
    stage.crawl().await;
    assert_eq!(stage.value::<i32>("select cells_failed from crawl_run").await, 0);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn a_killed_run_is_resumed_without_repeating_stored_cells() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage.standin.script([Fault::Status(500, false)]);
    // All cells except the one that waits for its retry are stored.
    let running = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BACKOFF", "1h").start();
    stage.becomes_true("select coalesce(max(cells_done), 0) = 5 from crawl_run").await;
    running.kill().await;
    assert_snapshot!(stage.rows("select status, cells_done from crawl_run").await, @"
    status   cells_done
    running  5
    ");
    let before = stage.standin.requests();

    let resumed = stage.program(&["crawl"]).finish().await.expect_code(0);

    assert!(resumed.stderr.contains("run 1 resumed"), "{}", resumed.stderr);
    assert!(stage.standin.requests() - before <= 2, "what was stored was fetched again");
    assert_eq!(status(&stage).await, "succeeded");
}

#[tokio::test]
async fn an_older_run_that_is_resumed_first_takes_no_place_from_a_newer_one() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let sent = stage.standin.requests();
    stage.standin.hold();
    let full = stage.program(&["crawl"]).start();
    stage.standin.reached(sent + 1).await;
    full.kill().await;
    stage.standin.release();
    let faults_for = vec![("공원".to_owned(), Fault::Status(500, false))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
    let part = stage.program(&["crawl", "--station", "서울역"]).set("SANGGWOND_KAKAO__BACKOFF", "1h").start();
    stage.becomes_true("select coalesce(max(cells_done), 0) = 1 from crawl_run where scope is not null").await;
    part.kill().await;
    stage.standin.set(Switches::default());

    stage.crawl().await;
    stage.crawl().await;

    let runs = "select format('%s, resumed %s times, %s missed', status, resumed_count, places_missed) from crawl_run
        order by crawl_run_id";
    let [first, full, part] =
        ["succeeded, resumed 0 times", "succeeded, resumed 1 times", "succeeded, resumed 1 times"];
    assert_eq!(stage.texts(runs).await, [first, full, part].map(|run| format!("{run}, 0 missed")));
}

#[tokio::test]
async fn a_resumed_run_keeps_its_settings() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start();
    stage.standin.reached(5).await;
    running.kill().await;
    stage.standin.release();
    stage.standin.record(true);

    let other =
        stage.program(&["crawl"]).set("SANGGWOND_CRAWL__RADIUS_M", "50").set("SANGGWOND_CRAWL__PAGE_DELAY", "1h");
    other.finish().await.expect_code(0);

    assert!(stage.standin.recorded().iter().all(|request| request.params["radius"] == "1000"));
    assert_eq!(stage.value::<i64>("select count(*) from listing").await, 49);
}

#[tokio::test]
async fn a_partial_scope_run_with_another_radius_is_abandoned() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.a_week_passes().await;
    let listings = "select format('%s %s %s %s', station_id, keyword_id, place_id, distance_m) from listing order by 1";
    let sent = stage.standin.requests();
    stage.standin.hold();
    let running = stage.program(&["crawl", "--station", "서울역"]).start();
    stage.standin.reached(sent + 1).await;
    running.kill().await;
    stage.standin.release();
    let crawl = async |arguments: &[&str]| {
        stage.program(arguments).set("SANGGWOND_CRAWL__RADIUS_M", "100").finish().await.expect_code(0);
        stage.texts(listings).await
    };
    let near = {
        let mut daemon = stage.program(&[]).set("SANGGWOND_CRAWL__RADIUS_M", "2000").start();
        daemon.says("run 3 ended as succeeded").await;
        daemon.terminate().await.expect_code(0);
        crawl(&["crawl", "--retire"]).await
    };

    let statuses =
        stage.texts("select status || coalesce(': ' || reason, '') from crawl_run order by crawl_run_id").await;
    assert_eq!(
        statuses,
        [
            "succeeded",
            "failed: planned with another radius than the 2000 m of the last full run",
            "succeeded",
            "succeeded"
        ]
    );
    assert_eq!(crawl(&["crawl", "--station", "서울역"]).await, near, "a limited run keeps the radius that it finds");
}

#[tokio::test]
async fn a_write_is_finished_after_a_signal() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    // The cells of 공원 wait 1 h for a retry, while those of 카페 are being written.
    let faults_for = vec![("공원".to_owned(), Fault::Status(500, false))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
    let mut blocker = stage.pool().begin().await.unwrap();
    sqlx::query("lock table place in share mode").execute(&mut *blocker).await.unwrap();
    let mut running = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BACKOFF", "1h").start();
    stage.standin.reached(8).await;
    stage.blocked_by_a_lock().await;

    running.signal(Signal::SIGTERM);
    running.says("SIGTERM received").await;
    blocker.rollback().await.unwrap();
    running.finish().await.expect_code(4);

    assert_eq!(status(&stage).await, "interrupted: stopped by a signal");
    assert_eq!(stage.value::<i32>("select cells_done from crawl_run").await, 3, "what was read is written");
}

#[tokio::test]
async fn a_panic_fails_the_run_with_its_message_and_the_daemon_continues() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start();
    stage.standin.reached(5).await;
    running.kill().await;
    stage.standin.release();
    // An impossible count: the next failure overflows it, which panics in every build.
    stage.execute("update crawl_cell set failures = 32767").await;
    let refused = ["카페", "공원"].map(|keyword| (keyword.to_owned(), Fault::Status(400, false)));
    stage.standin.set(Switches { faults_for: refused.into(), ..Switches::default() });

    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says("run 1 ended as failed").await;
    stage.standin.set(Switches::default());
    daemon.says("run 2 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    let rows = stage.texts("select concat_ws(': ', status, reason) from crawl_run order by crawl_run_id").await;
    assert_eq!(rows, ["failed: a bug: attempt to add with overflow", "succeeded"]);
}

#[tokio::test]
async fn a_killed_partial_scope_run_becomes_interrupted_and_is_resumed_only_by_hand() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let part = stage.program(&["crawl", "--station", "신촌"]).start();
    stage.standin.reached(4).await;
    part.kill().await;
    stage.standin.release();
    assert_eq!(status(&stage).await, "running");

    let idle = stage
        .program(&[])
        .set("SANGGWOND_SCHEDULE__ENABLED", "false")
        .set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms")
        .set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug");
    let mut daemon = idle.start();
    daemon.says_times("nothing is due", 2).await;
    daemon.terminate().await.expect_code(0);

    assert!(status(&stage).await.starts_with("interrupted: its process ended unexpectedly"));
    stage.crawl().await;
    assert_eq!(status(&stage).await, "succeeded");
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn the_requests_of_a_day_are_used_up_to_the_quota() {
    let stage = Stage::small().await;

    let last = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__DAILY_QUOTA", "5");
    last.set("SANGGWOND_KAKAO__MAX_IN_FLIGHT", "1").finish().await.expect_code(4);

    assert_eq!(stage.standin.requests(), 5, "all six cells were open, and five had a request granted");
    assert_eq!(stage.value::<i32>("select requests from api_usage").await, 5);
}

#[tokio::test]
async fn the_next_daemon_resumes_a_run_whose_key_was_refused() {
    let stage = Stage::small().await;
    stage.standin.set(Switches { api_key: Some("another".to_owned()), ..Switches::default() });
    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as failed").await;
    daemon.terminate().await.expect_code(0);
    let requests = stage.standin.requests();
    assert!(requests <= 5, "it asked again and again: {requests}");
    stage.standin.set(Switches::default());

    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn the_monthly_quota_interrupts_a_run() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    stage
        .execute(
            "insert into api_usage (day, requests)
             values (date_trunc('month', now() at time zone 'Asia/Seoul')::date, 2999997)
             on conflict (day) do update set requests = excluded.requests",
        )
        .await;

    let finished =
        stage.program(&["crawl"]).set("SANGGWOND_KAKAO__DAILY_QUOTA", "4000000").finish().await.expect_code(4);

    assert!(finished.stdout.contains("the quota is spent"), "{}", finished.stdout);
    assert_eq!(stage.standin.requests(), 3);
}

#[tokio::test]
async fn old_ledgers_and_runs_are_deleted_and_the_places_are_kept() {
    let stage = Stage::small().await;
    stage.crawl().await;
    // Simulates 30 more Mondays.
    stage
        .execute(
            "with runs as (
                 insert into crawl_run (trigger, status, coverage, started_at, heartbeat_at, finished_at, version, host)
                 select 'manual', 'succeeded', 'station', now(), now(), now(), '0', 'here' from generate_series(1, 30)
                 returning crawl_run_id)
             insert into crawl_cell (crawl_run_id, cell_no, keyword_id, station_id, radius_m)
             select crawl_run_id, 1, 1, 1, 1000 from runs",
        )
        .await;
    stage.a_week_passes().await;

    let mut daemon = stage.program(&[]).set("SANGGWOND_HISTORY__KEEP_RUNS", "20").start();
    daemon.says("run 32 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 20);
    assert_eq!(stage.value::<i64>("select count(distinct crawl_run_id) from crawl_cell").await, 8);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}
