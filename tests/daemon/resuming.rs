//! Unfinished runs: what ends them early, and how they go on.

use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, Switches};

use crate::support::Stage;
use crate::support::program::{Finished, Running};

/// Sends SIGTERM and waits for the end.
async fn terminate(running: Running) -> Finished {
    running.signal(Signal::SIGTERM);
    running.finish().await
}

async fn status(stage: &Stage) -> String {
    stage.value("select status || coalesce(': ' || reason, '') from crawl_run order by crawl_run_id desc limit 1").await
}

#[tokio::test]
async fn a_signal_ends_every_wait_at_once() {
    let retry_after = Some("3600".to_owned());
    // The fault that makes it wait, and the setting that makes that wait long.
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

        terminate(running).await.expect_code(4);

        assert_eq!(status(&stage).await, "interrupted: stopped by a signal", "{wait}");
        // It would go on with its own settings, and wait again.
        stage.program(&["crawl", "--fresh"]).finish().await.expect_code(0);
        assert_eq!(stage.value::<i64>("select count(*) from place").await, 26, "{wait}");
    }
}

#[tokio::test]
async fn a_signal_during_a_second_chance_leaves_it_for_the_next_time() {
    let stage = Stage::small().await;
    let faults_for = vec![("공원".to_owned(), Fault::Status(500, false))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
    let crawl = || stage.program(&["crawl"]).set("SANGGWOND_KAKAO__MAX_ATTEMPTS", "1");
    let mut running = crawl().start();
    running.says("each gets a second chance").await;
    stage.standin.hold();

    running.signal(Signal::SIGTERM);
    running.says("SIGTERM received").await;
    stage.standin.release();
    let code = running.finish().await.status.code();
    stage.standin.set(Switches::default());

    // The second chances may have been over already.
    if code == Some(4) {
        stage.crawl().await;
        assert_eq!(stage.value::<i32>("select cells_failed from crawl_run").await, 0);
    }
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn a_killed_run_goes_on_without_fetching_again_what_is_stored() {
    let stage = Stage::small().await;
    stage.standin.script([Fault::Status(500, false)]);
    // All cells but the one that waits for its retry are stored.
    let mut running = stage
        .program(&["crawl"])
        .set("SANGGWOND_KAKAO__BACKOFF", "1h")
        .set("SANGGWOND_LOG__FILTER", "info,sanggwond::crawl=debug")
        .start();
    running.says("5 cells written").await;
    running.signal(Signal::SIGKILL);
    running.finish().await;
    assert_eq!(stage.value::<String>("select format('%s %s', status, cells_done) from crawl_run").await, "running 5");
    let before = stage.standin.requests();

    let resumed = stage.program(&["crawl"]).finish().await.expect_code(0);

    assert!(resumed.stderr.contains("run 1 goes on where it was interrupted"), "{}", resumed.stderr);
    assert!(stage.standin.requests() - before <= 2, "what was stored was fetched again");
    assert_eq!(status(&stage).await, "succeeded");
}

#[tokio::test]
async fn a_run_goes_on_with_its_own_settings() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start();
    stage.standin.reached(5).await;
    running.signal(Signal::SIGKILL);
    running.finish().await;
    stage.standin.release();
    stage.standin.record(true);

    let other =
        stage.program(&["crawl"]).set("SANGGWOND_CRAWL__RADIUS_M", "50").set("SANGGWOND_CRAWL__PAGE_DELAY", "1h");
    other.finish().await.expect_code(0);

    assert!(stage.standin.recorded().iter().all(|request| request.params["radius"] == "1000"));
    assert_eq!(stage.value::<i64>("select count(*) from listing").await, 49);
}

#[tokio::test]
async fn a_part_with_another_radius_meanwhile_leaves_no_listing_of_either_radius_behind() {
    let stage = Stage::small().await;
    stage.crawl().await;
    let listings = "select format('%s %s %s %s', station_id, keyword_id, place_id, distance_m) from listing order by 1";
    let (whole, near) = (stage.texts(listings).await, || ("SANGGWOND_CRAWL__RADIUS_M", "100"));
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start();
    stage.standin.reached(stage.standin.requests() + 5).await;
    running.signal(Signal::SIGKILL);
    running.finish().await;
    stage.standin.release();

    let part = || stage.program(&["crawl", "--station", "서울역"]).set(near().0, near().1);
    part().finish().await.expect_code(0);
    let few = stage.texts(listings).await;
    stage.crawl().await;
    assert_eq!(status(&stage).await, "succeeded");
    assert_eq!(stage.texts(listings).await, whole, "the run that went on lists with its own radius");
    part().finish().await.expect_code(0);

    assert!(few.len() < whole.len());
    assert_eq!(stage.texts(listings).await, few, "the next part lists with its own again");
}

#[tokio::test]
async fn a_signal_during_a_write_waits_for_it() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let mut blocker = stage.pool().begin().await.unwrap();
    sqlx::query("lock table place in share mode").execute(&mut *blocker).await.unwrap();
    let mut running = stage.program(&["crawl"]).start();
    stage.blocked_by_a_lock().await;

    running.signal(Signal::SIGTERM);
    running.says("SIGTERM received").await;
    blocker.rollback().await.unwrap();
    let finished = running.finish().await;

    let (code, status) = (finished.status.code(), status(&stage).await);
    // All requests may have been answered before the write.
    assert!(
        matches!((code, status.as_str()), (Some(4), "interrupted: stopped by a signal") | (Some(0), "succeeded")),
        "{code:?} {status}"
    );
    assert!(stage.value::<bool>("select cells_done > 0 from crawl_run").await, "what was read is written");
}

#[tokio::test]
async fn a_panic_closes_the_run_as_failed_with_its_message_and_the_daemon_goes_on() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start();
    stage.standin.reached(5).await;
    running.signal(Signal::SIGKILL);
    running.finish().await;
    stage.standin.release();
    // A count that no run can reach: the next failure overflows it, which a debug build takes for a bug.
    stage.execute("update crawl_cell set chances = 32767").await;
    let refused = ["카페", "공원"].map(|keyword| (keyword.to_owned(), Fault::Status(400, false)));
    stage.standin.set(Switches { faults_for: refused.into(), ..Switches::default() });

    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says("run 1 ended as failed").await;
    stage.standin.set(Switches::default());
    daemon.says("run 2 ended as succeeded").await;
    terminate(daemon).await.expect_code(0);

    let rows = stage.texts("select concat_ws(': ', status, reason) from crawl_run order by crawl_run_id").await;
    assert_eq!(rows, ["failed: a bug: attempt to add with overflow", "succeeded"]);
}

#[tokio::test]
async fn a_dead_part_is_not_called_running_for_ever_and_is_resumed_by_hand_only() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let part = stage.program(&["crawl", "--station", "신촌"]).start();
    stage.standin.reached(4).await;
    part.signal(Signal::SIGKILL);
    part.finish().await;
    stage.standin.release();
    assert_eq!(status(&stage).await, "running");

    let idle = stage
        .program(&[])
        .set("SANGGWOND_SCHEDULE__ENABLED", "false")
        .set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms")
        .set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug");
    let mut daemon = idle.start();
    daemon.says_times("nothing is due", 2).await;
    terminate(daemon).await.expect_code(0);

    assert!(status(&stage).await.starts_with("interrupted: its process ended without a word"));
    stage.crawl().await;
    assert_eq!(status(&stage).await, "succeeded");
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn the_last_requests_of_a_day_are_used() {
    let stage = Stage::small().await;

    let last = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__DAILY_QUOTA", "5");
    last.set("SANGGWOND_KAKAO__MAX_IN_FLIGHT", "1").finish().await.expect_code(4);

    assert_eq!(stage.standin.requests(), 5, "all six cells were open, and five had a request granted");
    assert_eq!(stage.value::<i32>("select requests from api_usage").await, 5);
}

#[tokio::test]
async fn a_refused_key_is_tried_again_by_the_next_daemon() {
    let stage = Stage::small().await;
    stage.standin.set(Switches { api_key: Some("another".to_owned()), ..Switches::default() });
    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as failed").await;
    terminate(daemon).await.expect_code(0);
    let requests = stage.standin.requests();
    assert!(requests <= 5, "it asked again and again: {requests}");
    stage.standin.set(Switches::default());

    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as succeeded").await;
    terminate(daemon).await.expect_code(0);

    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn the_monthly_quota_ends_a_run_as_well() {
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
async fn old_ledgers_and_old_runs_are_forgotten_and_what_refers_to_them_stands() {
    let stage = Stage::small().await;
    stage.crawl().await;
    // As if thirty more Mondays had passed.
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

    let mut daemon = stage.program(&[]).set("SANGGWOND_HISTORY__KEEP_RUNS", "20").start();
    daemon.says("run 32 ended as succeeded").await;
    terminate(daemon).await.expect_code(0);

    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 20);
    assert_eq!(stage.value::<i64>("select count(distinct crawl_run_id) from crawl_cell").await, 8);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}
