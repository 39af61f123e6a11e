//! `status` and `runs --follow`: the situation now, from any machine that reaches the database.

use sanggwond::standin::{Fault, Switches};
use serde_json::Value;

use crate::support::Stage;
use crate::support::program::Program;

/// A shell that has nothing but the URL of the database.
fn shell(stage: &Stage, arguments: &[&str]) -> Program {
    Program::new(arguments).set("DATABASE_URL", &stage.database.url)
}

/// The line of the screen with this heading.
fn line(screen: &str, head: &str) -> String {
    let line = screen.lines().find(|line| line.starts_with(&format!("{head} ")));
    line.unwrap_or_else(|| panic!("no {head}: {screen}")).split_once("  ").unwrap().1.trim().to_owned()
}

async fn status(stage: &Stage, code: i32) -> String {
    shell(stage, &["status"]).finish().await.expect_code(code).stdout
}

#[tokio::test]
async fn the_exit_code_says_how_the_last_due_full_run_stands() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);

    assert_eq!(line(&status(&stage, 1).await, "verdict"), "no full run has been started yet");
    stage.crawl().await;
    assert_eq!(line(&status(&stage, 0).await, "verdict"), "the last due full run, run 1, succeeded");
    let faults_for = vec![("공원".to_owned(), Fault::Status(502, true))];
    stage.standin.set(Switches { faults_for, ..Switches::default() });
    stage.program(&["crawl"]).finish().await.expect_code(3);
    stage.standin.set(Switches::default());
    // Both runs were started after the tick, and the older one serves it.
    assert_eq!(line(&status(&stage, 3).await, "verdict"), "the last due full run, run 2, is partial");
    stage.standin.hold();
    let crawl = stage.program(&["crawl"]).start();
    stage.standin.reached(stage.standin.requests() + 5).await;
    crawl.kill().await;
    stage.standin.release();
    assert_eq!(line(&status(&stage, 4).await, "verdict"), "the last due full run, run 3, is not finished");
    stage.program(&["cancel"]).finish().await.expect_code(0);
    stage.execute("delete from crawl_run where crawl_run_id < 3").await;
    // A run that was started manually serves the tick only if it was finished.
    assert!(line(&status(&stage, 3).await, "verdict").ends_with("is late: no daemon has started it"));
    stage.execute("update crawl_run set scheduled_for = '2026-11-22 18:00Z', trigger = 'schedule'").await;
    let cancelled = stage.program_at("2026-11-23 00:00:00", &["status"]).finish().await.expect_code(1).stdout;
    assert_eq!(line(&cancelled, "verdict"), "the last due full run, run 3, was cancelled");
}

#[tokio::test]
async fn the_screen_shows_daemons_the_last_run_the_pause_and_what_waits() {
    let stage = Stage::small().await;
    let mut daemon = stage.program(&[]).start();
    daemon.says("run 1 ended as succeeded").await;
    shell(&stage, &["pause", "--reason", "휴가"]).finish().await.expect_code(0);

    let screen = status(&stage, 0).await;
    let json = shell(&stage, &["status", "--format", "json"]).finish().await.expect_code(0).stdout;
    daemon.terminate().await.expect_code(0);
    shell(&stage, &["request"]).finish().await.expect_code(0);
    let alone = status(&stage, 0).await;

    assert!(line(&screen, "daemons").starts_with("1 alive: "), "{screen}");
    assert!(line(&screen, "last run").starts_with("run 1 succeeded, started "), "{screen}");
    assert!(line(&screen, "last run").ends_with(", 8 requests: all 6 cells done"), "{screen}");
    assert_eq!(line(&screen, "changes"), "0 opened, 0 closed, 0 reopened, 0 changed");
    assert!(line(&screen, "schedule").ends_with(": 휴가"), "{screen}");
    assert_eq!(line(&screen, "quota"), "8 of 100,000 requests used today, 8 of 3,000,000 this month");
    assert!(line(&screen, "next run").starts_with("Mon "), "{screen}");
    assert_eq!(line(&alone, "daemons"), "none is alive");
    assert_eq!(line(&alone, "requests"), "1 run request waiting");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["last_full_run"]["crawl_run_id"], 1);
    assert_eq!(json["daemons"].as_array().unwrap().len(), 1);
    assert_eq!(json["requests_waiting"], 0);
}

#[tokio::test]
async fn a_daemon_is_alive_whatever_the_clock_of_its_machine_says() {
    let stage = Stage::small().await;
    let mut days_behind = stage.daemon_from("2026-11-24 00:00:00").start();
    days_behind.says("run 1 ended as succeeded").await;
    let request = shell(&stage, &["request"]).finish().await.expect_code(0).stdout;
    days_behind.says("run 2 ended as succeeded").await;

    let other = stage.program(&[]).start();
    stage.becomes_true("select count(*) = 2 and min(daemon_id) = 1 from daemon").await;
    let screen = shell(&stage, &["status"]).finish().await.stdout;

    assert!(request.contains("a daemon answers it within 10 s"), "{request}");
    assert!(line(&screen, "daemons").starts_with("2 alive: "), "{screen}");
    days_behind.terminate().await.expect_code(0);
    other.terminate().await.expect_code(0);
}

#[tokio::test]
async fn a_run_is_followed_from_another_machine_with_its_pause_until_it_ends() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let seen = stage.folder.path().join("followed");
    let follow = shell(&stage, &["runs", "--follow"]).start_into(std::fs::File::create(&seen).unwrap());
    while std::fs::read_to_string(&seen).unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    stage.standin.script([Fault::Throttled { retry_after: Some("8".to_owned()) }]);
    let crawl = stage.program(&["crawl"]).start();
    stage.becomes_true("select coalesce(bool_or(pause_reason is not null), false) from crawl_run").await;

    let screen = status(&stage, 4).await;
    crawl.finish().await.expect_code(0);
    follow.finish().await.expect_code(0);
    let followed = std::fs::read_to_string(&seen).unwrap();

    let at_work = line(&screen, "at work");
    assert!(at_work.starts_with("run 1 (manual) on ") && at_work.contains("waiting for "), "{at_work}");
    let lines: Vec<&str> = followed.lines().collect();
    assert_eq!(lines[0], "no run is at work; waiting for the next one");
    assert!(lines[1..].iter().any(|line| line.contains("429")), "{followed}");
    assert_eq!(*lines.last().unwrap(), "run 1 succeeded: all 6 cells done");
}

#[tokio::test]
async fn the_situation_fits_a_narrow_terminal() {
    let stage = Stage::small().await;
    stage.crawl().await;

    for columns in [60, 80] {
        let screen = shell(&stage, &["status"]).start_on_terminal(columns).finish().await.expect_code(0).stderr;

        let widest = screen.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(widest <= usize::from(columns), "{screen}");
    }
}

#[tokio::test]
async fn the_screen_is_in_korean_where_the_locale_is() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.execute("update crawl_run set status = 'partial', cells_done = 5, cells_failed = 1, reason = '1 cell failed twice; see the view run_failure'").await;

    let screen = shell(&stage, &["status"]).set("LANG", "ko_KR.UTF-8").finish().await.expect_code(3).stdout;
    let json = shell(&stage, &["status", "--lang", "ko", "--format", "json"]).finish().await.expect_code(3).stdout;

    assert_eq!(line(&screen, "판정"), "가장 최근에 예정된 전체 실행(실행 1)이 일부만 완료되었습니다");
    assert!(
        line(&screen, "최근 실행").contains("셀 6개 중 1개 실패: 셀 1개가 두 번 실패; 뷰 run_failure 참고"),
        "{screen}"
    );
    assert_eq!(line(&screen, "데몬"), "살아 있는 데몬이 없습니다");
    assert!(json.contains("is partial"), "JSON is for programs: {json}");
}
