//! What an operator does: pause the schedule, cancel a run, request one, read failed cells again.

use insta::assert_snapshot;
use nix::sys::signal::Signal;
use sanggwond::standin::{Fault, Switches};

use crate::support::Stage;
use crate::support::program::Program;

/// Every row of the history, without times.
const HISTORY: &str = "select trigger, status, scope, reason from crawl_run order by crawl_run_id";

/// A daemon that starts no run by itself.
fn idle(stage: &Stage) -> Program {
    stage.program(&["daemon"]).set("SANGGWOND_SCHEDULE__ENABLED", "false")
}

/// All parks answer with a fault.
fn parks_fail(stage: &Stage) {
    let faults_for = vec![("공원".to_owned(), Fault::Status(502, true))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
}

#[tokio::test]
async fn ticks_in_a_pause_are_skipped_with_its_reason_and_are_not_caught_up() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let at = |instant, arguments: &[&str]| stage.program_at(instant, arguments);

    let paused = ["pause", "--until", "2026-11-24", "--reason", "새 키를 기다린다"];
    let paused = at("2026-11-20 01:00:00", &paused).finish().await.expect_code(0);
    // A daemon that starts during the pause, and one that starts after it.
    for instant in ["2026-11-22 18:00:10", "2026-11-23 15:00:10"] {
        let idle = at(instant, &[]).set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug");
        let mut daemon = idle.start();
        daemon.says("nothing is due").await;
        daemon.terminate().await.expect_code(0);
    }
    let mut next_monday = stage.daemon_from("2026-11-29 18:00:01").start();
    next_monday.says("run 2 ended as succeeded").await;
    next_monday.terminate().await.expect_code(0);

    assert!(paused.stdout.contains("until Tue 2026-11-24 00:00:00"), "{}", paused.stdout);
    let history = stage.rows(HISTORY).await;
    assert_eq!(history.matches("skipped").count(), 1, "{history}");
    assert!(history.contains("paused from Fri 2026-11-20 10:00 until Tue 2026-11-24 00:00 (Seoul) by "), "{history}");
    assert!(history.contains(": 새 키를 기다린다"), "{history}");
}

#[tokio::test]
async fn next_check_and_crawl_say_that_the_schedule_is_paused() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.program(&["pause", "--reason", "holiday"]).finish().await.expect_code(0);

    let next = stage.program(&["next", "--count", "1"]).finish().await.expect_code(0).stdout;
    let check = stage.program(&["check"]).finish().await.expect_code(0).stdout;
    let crawl = stage.program(&["crawl"]).finish().await.expect_code(0).stderr;
    let ended = stage.program(&["unpause"]).finish().await.expect_code(0).stdout;
    let again = stage.program(&["unpause"]).finish().await.expect_code(0).stdout;
    let after = stage.program(&["next", "--count", "1"]).finish().await.expect_code(0).stdout;

    assert!(next.starts_with("now: the schedule is paused from "), "{next}");
    assert!(next.ends_with(" (skipped: the schedule is paused)\n"), "{next}");
    assert!(check.contains("ok      due: the schedule is paused from "), "{check}");
    assert!(crawl.contains(": holiday; this run starts all the same"), "{crawl}");
    assert!(ended.starts_with("the schedule is no longer paused"), "{ended}");
    assert_eq!(again, "the schedule was not paused\n");
    assert!(!after.contains("paused"), "{after}");
}

#[tokio::test]
async fn a_second_pause_replaces_the_first_and_one_in_the_past_is_refused() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);

    stage.program(&["pause", "--reason", "first"]).finish().await.expect_code(0);
    stage.program(&["pause", "--until", "3d", "--reason", "second"]).finish().await.expect_code(0);
    let refused = stage.program(&["pause", "--until", "2026-01-01"]).finish().await.expect_code(2);

    assert!(refused.stderr.contains("--until is in the past"), "{}", refused.stderr);
    let pauses =
        "select reason, until - since as lasts, ended_at is not null as has_ended, ended_by = paused_by as by_us
        from schedule_pause order by 1";
    assert_snapshot!(stage.rows(pauses).await, @"
    reason  lasts   has_ended  by_us
    first   –       true       true
    second  3 days  false      –
    ");
}

#[tokio::test]
async fn a_pause_does_not_resume_an_interrupted_run_until_it_ends() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let daemon = stage.program(&[]).start();
    stage.standin.reached(5).await;
    daemon.kill().await;
    stage.standin.release();
    stage.program(&["pause"]).finish().await.expect_code(0);

    let mut paused = stage.program(&[]).start();
    paused.says("the schedule is paused from ").await;
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "interrupted", "its process is dead");
    stage.program(&["unpause"]).finish().await.expect_code(0);
    paused.says("run 1 ended as succeeded").await;
    paused.terminate().await.expect_code(0);
}

#[tokio::test]
async fn a_cancelled_run_ends_where_it_works_keeps_what_it_found_and_serves_its_tick() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = stage.program(&[]).start();
    stage.standin.reached(5).await;

    let cancelling = stage.program(&["cancel", "--reason", "wrong keywords"]).start();
    daemon.says("wrong keywords; no new request is sent").await;
    stage.standin.release();
    let cancelled = cancelling.finish().await.expect_code(0);
    daemon.says("run 1 ended as cancelled (cancelled by ").await;
    let requests = stage.standin.requests();
    // The next decision finds nothing due.
    stage.program(&["request", "--keyword", "공원"]).finish().await.expect_code(0);
    daemon.says("run 2 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    assert!(cancelled.stdout.starts_with("run 1 is cancelled"), "{}", cancelled.stdout);
    assert!(
        stage
            .value::<bool>(
                "select reason like 'cancelled by %@%: wrong keywords' from crawl_run where crawl_run_id = 1"
            )
            .await
    );
    assert!(stage.value::<bool>("select scheduled_for is not null from crawl_run where crawl_run_id = 1").await);
    assert!(
        stage.value::<bool>("select cells_done > 0 from crawl_run where crawl_run_id = 1").await,
        "cells in flight are stored"
    );
    assert!(requests <= 8, "{requests}");
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 2, "nothing catches up");
}

#[tokio::test]
async fn a_run_without_a_process_is_cancelled_at_once() {
    let stage = Stage::small().await;
    for (number, signal) in [(1, Signal::SIGTERM), (2, Signal::SIGKILL)] {
        stage.standin.hold();
        let crawl = stage.program(&["crawl"]).set("SANGGWOND_SHUTDOWN__GRACE", "1ms").start();
        stage.standin.reached(stage.standin.requests() + 5).await;
        crawl.signal(signal);
        crawl.finish().await;
        stage.standin.release();

        let cancelled = stage.program(&["cancel"]).finish().await.expect_code(0).stdout;

        assert!(cancelled.starts_with(&format!("run {number} is cancelled")), "{cancelled}");
    }
    let nothing = stage.program(&["cancel"]).finish().await.expect_code(1);
    let twice = stage.program(&["cancel", "2"]).finish().await.expect_code(0);
    stage.crawl().await;
    let finished = stage.program(&["cancel", "3"]).finish().await.expect_code(1);
    let unknown = stage.program(&["cancel", "99"]).finish().await.expect_code(1);

    assert!(nothing.stderr.contains("there is no unfinished run to cancel"), "{}", nothing.stderr);
    assert!(twice.stdout.starts_with("run 2 is cancelled"), "{}", twice.stdout);
    assert!(
        finished.stderr.contains("run 3 has already ended as succeeded; nothing was changed"),
        "{}",
        finished.stderr
    );
    assert!(unknown.stderr.contains("there is no run 99"), "{}", unknown.stderr);
    assert_snapshot!(stage.rows("select crawl_run_id, status, finished_at is not null as has_end, resume_at from crawl_run order by 1").await, @"
    crawl_run_id  status     has_end  resume_at
    1             cancelled  true     –
    2             cancelled  true     –
    3             succeeded  true     –
    ");
    let shown = stage.program(&["runs"]).finish().await.expect_code(0).stdout;
    assert!(shown.contains("cancelled with 0 of 6 cells done: cancelled by "), "{shown}");
}

#[tokio::test]
async fn a_daemon_answers_requests_in_order_with_its_own_configuration() {
    let stage = Stage::small().await;
    let mut daemon = idle(&stage).start();
    daemon.says("the schedule is disabled").await;
    // The operator's shell has neither the key nor the configuration.
    let shell = |arguments: &[&str]| Program::new(arguments).set("DATABASE_URL", &stage.database.url);

    let first = shell(&["request", "--station", "서울역", "--keyword", "카페"]).finish().await.expect_code(0);
    shell(&["request"]).finish().await.expect_code(0);
    shell(&["request", "--station", "없는역"]).finish().await.expect_code(0);
    daemon.says("request 3 by ").await;
    stage.becomes_true("select bool_and(crawl_run_id is not null) from run_request").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(first.stdout, "request 1 is stored; a daemon answers it within 10 s if no run is at work\n");
    assert_snapshot!(stage.rows(HISTORY).await, @r#"
    trigger  status     scope                                           reason
    request  succeeded  {"keywords": ["카페"], "stations": ["서울역"]}  –
    request  succeeded  –                                               –
    request  skipped    {"keywords": [], "stations": ["없는역"]}        could not plan the run: no station is called "없는역"
    "#);
    assert!(stage.value::<bool>("select bool_and(requested_by like '%@%, role %') from run_request").await);
    let runs = stage.program(&["runs"]).finish().await.expect_code(0).stdout;
    assert!(runs.contains("limited to 서울역; 카페: all 1 cells done"), "{runs}");
}

#[tokio::test]
async fn a_request_survives_the_death_of_its_daemon_and_is_answered_once() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = idle(&stage).start();
    daemon.says("the schedule is disabled").await;
    stage.program(&["request", "--station", "신촌"]).finish().await.expect_code(0);
    stage.standin.reached(3).await;
    daemon.kill().await;
    stage.standin.release();

    let mut next = idle(&stage).start();
    next.says("run 1 ended as succeeded").await;
    next.terminate().await.expect_code(0);

    assert_snapshot!(stage.rows("select trigger, status, resumed_count from crawl_run").await, @"
    trigger  status     resumed_count
    request  succeeded  1
    ");
    assert_eq!(stage.value::<i64>("select count(*) from run_request where crawl_run_id = 1").await, 1);
}

#[tokio::test]
async fn a_request_that_no_daemon_starts_within_a_day_expires_and_is_in_the_history() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let alone = stage.program(&["request"]).finish().await.expect_code(0);
    stage.execute("update run_request set requested_at = requested_at - interval '25 hours'").await;

    let mut daemon = idle(&stage).set("SANGGWOND_LOG__FILTER", "info,sanggwond::scheduler=debug").start();
    daemon.says("nothing is due").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(alone.stdout, "request 1 is stored, but no daemon is alive: start one; it expires after a day\n");
    let row: String = stage.value("select concat_ws(' ', trigger, status, reason) from crawl_run").await;
    assert!(
        row.starts_with("request skipped requested by ") && row.ends_with("; no daemon could start it within a day"),
        "{row}"
    );
    assert_eq!(stage.standin.requests(), 0);
}

#[tokio::test]
async fn the_sql_function_takes_only_what_the_command_can_say() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let mut refused = Vec::new();
    for scope in [
        "[]",
        "null",
        "\"강남역\"",
        "{\"stations\": \"강남역\"}",
        "{\"stations\": [1]}",
        "{\"failed\": false, \"keywords\": [null]}",
        "{\"station\": [\"강남역\"]}",
        "{\"failed\": \"yes\"}",
        "{\"failed\": true, \"stations\": [\"강남역\"]}",
    ] {
        let asked = sqlx::query_scalar::<_, i64>("select request_run($1::jsonb)").bind(scope);
        if asked.fetch_one(stage.pool()).await.is_err() {
            refused.push(scope);
        }
    }
    let accepted: i64 = stage.value("select request_run('{\"stations\": [\"강남역\"], \"keywords\": []}')").await;

    assert_eq!(refused.len(), 9, "{refused:?}");
    assert_eq!(stage.value::<i64>("select count(*) from run_request").await, 1);
    assert_eq!(stage.value::<i64>("select max(run_request_id) from run_request").await, accepted);
}

#[tokio::test]
async fn only_the_failed_cells_of_a_run_are_read_again() {
    for coverage in ["station", "complete"] {
        let stage = Stage::small().await;
        let crawl = |arguments: &[&str]| stage.program(arguments).set("SANGGWOND_CRAWL__COVERAGE", coverage);
        parks_fail(&stage);
        crawl(&["crawl"]).finish().await.expect_code(3);
        stage.standin.set(Switches::default());
        let before = stage.standin.requests();
        let failed: i32 = stage.value("select cells_failed from crawl_run").await;

        let again = crawl(&["crawl", "--failed"]).finish().await.expect_code(0);

        assert!(again.stdout.starts_with("run 2 succeeded"), "{coverage}: {}", again.stdout);
        assert_eq!(stage.standin.requests() - before, u64::from(failed.unsigned_abs()), "{coverage}");
        let scope: String = stage.value("select scope::text from crawl_run where crawl_run_id = 2").await;
        assert_eq!(scope, r#"{"keywords": [], "stations": [], "failed_cells_of": 1}"#);
        assert_eq!(stage.value::<i64>("select count(*) from place").await, 26, "{coverage}");
        let covered = "select count(*) from station_coverage where keyword = '공원' and complete_since is not null";
        assert_eq!(stage.value::<i64>(covered).await, 3, "{coverage}");
        let none = crawl(&["crawl", "--failed", "2"]).finish().await.expect_code(2);
        assert!(none.stderr.contains("run 2 has no failed cells to read again"), "{}", none.stderr);
    }
}

#[tokio::test]
async fn failed_cells_that_are_read_again_close_places_as_a_full_run_does() {
    let stage = Stage::small().await;
    stage.crawl().await;
    // The park is gone, and once the parks cannot be read.
    stage.standin.set_world(sanggwond::standin::World::new(
        crate::support::town::places().into_iter().filter(|place| place.rank != 21).collect::<Vec<_>>(),
    ));
    for _ in 0..2 {
        parks_fail(&stage);
        stage.program(&["crawl"]).finish().await.expect_code(3);
        stage.standin.set(Switches::default());
        stage.program(&["crawl", "--failed"]).finish().await.expect_code(0);
    }

    let closed = "select place_id from place where closed_at is not null";
    assert_eq!(stage.texts(closed).await, ["21"]);
}

#[tokio::test]
async fn a_request_for_failed_cells_needs_a_full_run() {
    let stage = Stage::small().await;
    let mut daemon = idle(&stage).start();
    daemon.says("the schedule is disabled").await;

    stage.program(&["request", "--failed"]).finish().await.expect_code(0);
    daemon.says("is rejected: no full run has been finished yet, so there are no failed cells").await;
    parks_fail(&stage);
    stage.program(&["request"]).finish().await.expect_code(0);
    daemon.says("run 2 ended as partial").await;
    stage.standin.set(Switches::default());
    stage.program(&["request", "--failed"]).finish().await.expect_code(0);
    daemon.says("run 3 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    assert_snapshot!(stage.rows("select trigger, status, scope, cells_total from crawl_run order by crawl_run_id").await, @r#"
    trigger  status     scope                                                   cells_total
    request  skipped    –                                                       0
    request  partial    –                                                       6
    request  succeeded  {"keywords": [], "stations": [], "failed_cells_of": 2}  3
    "#);
}

#[tokio::test]
async fn completion_scripts_know_every_subcommand() {
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef sanggwond"), ("fish", "complete -c sanggwond")] {
        let script = Program::new(&["completions", shell]).finish().await.expect_code(0).stdout;

        assert!(script.contains(sign), "{shell}");
        for command in ["crawl", "cancel", "pause", "unpause", "request", "completions"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}
