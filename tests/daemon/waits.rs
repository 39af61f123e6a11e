//! The reason of a wait is visible everywhere: in the log, the row, the history, the status, the metrics and the
//! progress bar.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use nix::pty::{Winsize, openpty};
use sanggwond::standin::{Fault, Switches};
use sqlx::{Connection, PgConnection};

use super::observe;
use super::systemd::ServiceManager;
use crate::support::Stage;
use crate::support::server::server;

/// The pause in the row of a run.
const PAUSE: &str = "select coalesce((select format('%s, %s s', pause_reason,
     round(extract(epoch from paused_until - paused_since))) from crawl_run where paused_since is not null), '')";

/// Makes the stand-in answer every request with 503 and `Retry-After` of an hour.
fn refuse(stage: &Stage) {
    let retry_after = Some("3600".to_owned());
    stage.standin.set(Switches {
        fault_share: 1.0,
        fault_kinds: vec![Fault::Unavailable { retry_after }],
        ..Switches::default()
    });
}

/// Waits until the row shows a pause: the next heartbeat of the run writes it.
async fn paused(stage: &Stage) -> String {
    loop {
        // The table may not exist yet.
        let pause: Option<String> = sqlx::query_scalar(PAUSE).fetch_one(stage.pool()).await.ok();
        if let Some(pause) = pause.filter(|pause| !pause.is_empty()) {
            return pause;
        }
        // Poll, because the database sends no notification when a row changes.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_pause_and_its_cause_are_shown_in_the_log_the_metrics_and_the_commands() {
    let stage = Stage::small().await;
    let manager = ServiceManager::of(&stage);
    refuse(&stage);
    let daemon = manager.service(stage.program(&[])).set("SANGGWOND_OBSERVE__LISTEN", "127.0.0.1:0");
    let mut daemon = daemon.start();
    let address = observe::address(&mut daemon).await;
    daemon.says("requests are paused for 1h: 503: ").await;
    let said = daemon.stderr();

    let pause = paused(&stage).await;
    assert!(pause.starts_with("503: ") && pause.ends_with(", 3600 s"), "{pause}");
    let verdict: String = stage.value("select verdict from run_history").await;
    assert!(verdict.contains("0 of 6 cells done, waiting since ") && verdict.contains("(503: "), "{verdict}");
    let runs = stage.program(&["runs", "--format", "json"]).finish().await.expect_code(0);
    assert!(runs.stdout.contains("waiting since "), "{}", runs.stdout);
    let heard = manager.hears("; waiting for ").await;
    let status = heard.last().unwrap();
    assert!(status.starts_with("STATUS=crawling: 0 of 6 cells done, 0 failed; waiting for "), "{status}");
    assert!(status.contains("next request in 59m ") && status.contains(": 503: "), "{status}");
    let metrics = observe::get(&address, "/metrics").await;
    assert!(observe::value(&metrics, "sanggwond_gate_paused") > 0.5);
    assert!(observe::value(&metrics, "sanggwond_gate_paused_until_timestamp_seconds") > 1e9);
    assert!(observe::value(&metrics, "sanggwond_gate_pause_cause{outcome=\"unavailable\"}") > 0.5);
    assert!(observe::value(&metrics, "sanggwond_gate_pause_cause{outcome=\"throttled\"}") < 0.5);
    daemon.terminate().await.expect_code(0);

    let begins: Vec<_> = said.lines().filter(|line| line.contains("requests are paused for")).collect();
    assert!(begins.len() == 1 && begins[0].contains("\"level\":\"WARN\""), "{begins:?}");
    let is_told = |left| begins[0].contains(&format!("without a good answer the run is interrupted in {left}"));
    assert!(is_told("30m") || is_told("29m "), "{begins:?}");
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "interrupted");
    assert_eq!(stage.value::<String>(PAUSE).await, "", "a run that is not at work waits for nothing");
}

#[tokio::test]
async fn a_run_killed_in_a_pause_shows_no_pause_when_it_is_resumed() {
    let stage = Stage::small().await;
    refuse(&stage);
    let daemon = stage.program(&[]).start();
    paused(&stage).await;
    daemon.kill().await;
    stage.standin.set(Switches::default());

    stage.crawl().await;

    assert_eq!(stage.value::<String>(PAUSE).await, "");
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "succeeded");
}

#[tokio::test]
async fn the_end_of_a_pause_is_logged() {
    let stage = Stage::small().await;
    stage.standin.script([Fault::Unavailable { retry_after: None }]);

    let finished = stage.program(&["crawl"]).finish().await.expect_code(0);

    let said = finished.stderr.lines();
    let lines: Vec<_> = said.filter(|line| line.contains("paused for") || line.contains("answers again")).collect();
    assert_eq!(lines.len(), 2, "{}", finished.stderr);
    assert!(lines[0].contains("\"level\":\"WARN\"") && lines[0].contains("503: "), "{}", lines[0]);
    assert!(
        lines[1].contains("\"level\":\"INFO\"") && lines[1].contains("requests resume after a pause of"),
        "{}",
        lines[1]
    );
}

#[tokio::test]
async fn every_line_about_an_unreachable_api_has_its_address_and_the_full_cause() {
    let stage = Stage::small().await;
    let crawl = stage.program(&["crawl"]).set("SANGGWOND_KAKAO__BASE_URL", "http://127.0.0.1:1");
    let mut running = crawl.set("SANGGWOND_KAKAO__BACKOFF", "1h").start();
    let cause = "could not connect: client error (Connect): tcp connect error: Connection refused (os error 111)";

    running.says("requests are paused for").await;
    running.says("of 6 cells done").await;
    let said = running.stderr();
    running.terminate().await.expect_code(4);

    let warned = said.lines().find(|line| line.contains("requests are paused for")).unwrap();
    assert!(warned.contains(cause) && warned.contains("\"level\":\"WARN\""), "{warned}");
    let line = said.lines().find(|line| line.contains("0 of 6 cells done")).unwrap();
    assert!(line.contains("waiting for ") && line.contains("next request in ") && line.contains(cause), "{line}");
}

#[tokio::test]
async fn the_bar_shows_the_cause_of_a_pause_and_no_estimate() {
    let stage = Stage::small().await;
    refuse(&stage);
    let size = Winsize { ws_row: 24, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let running = stage.program(&["crawl"]).start_on(terminal.slave);

    let mut screen = File::from(terminal.master);
    let shown = tokio::task::spawn_blocking(move || {
        let (mut shown, mut piece) = (String::new(), [0; 4096]);
        while !shown.contains("waiting for ") {
            let size = screen.read(&mut piece).unwrap();
            shown.push_str(&String::from_utf8_lossy(&piece[..size]));
        }
        (shown, screen)
    });
    let (shown, _screen) = shown.await.unwrap();
    running.terminate().await.expect_code(4);

    let bar = shown.rsplit("waiting for ").next().unwrap();
    assert!(bar.contains("503: ") && bar.contains("next request in "), "{bar}");
    assert!(!shown.contains("0s left"), "{shown}");
}

#[tokio::test]
async fn the_status_of_a_daemon_that_waits_for_another_process_names_it() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let manager = ServiceManager::of(&stage);
    let mut holder = stage.pool().acquire().await.unwrap();
    // The key of the run lock: the letters `sanggwon` as a 64-bit integer.
    sqlx::query("select pg_advisory_lock(x'73616e6767776f6e'::bigint)").execute(&mut *holder).await.unwrap();
    let other = "waiting for another process, which holds the run lock of this database";

    let mut daemon = manager.service(stage.program(&[])).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says(other).await;
    manager.hears(&format!("STATUS={other}; next run Mon ")).await;
    assert_eq!(daemon.said(other), 1, "it is logged once");
    sqlx::query("select pg_advisory_unlock_all()").execute(&mut *holder).await.unwrap();

    daemon.says("run 1 ended as succeeded").await;
    manager.hears("STATUS=idle; next run Mon ").await;
    daemon.terminate().await.expect_code(0);
}

/// A session that holds the run lock and does nothing else, with its process id.
async fn foreign_holder(stage: &Stage) -> (PgConnection, i32) {
    let options = server().await.options.clone().database(&stage.database.name).application_name("nightly-backup");
    let mut holder = PgConnection::connect_with(&options).await.unwrap();
    // The key of the run lock: the letters `sanggwon` as a 64-bit integer.
    let pid = sqlx::query_scalar(
        "select pg_backend_pid() from (select pg_advisory_lock(x'73616e6767776f6e'::bigint)) as taken",
    );
    let pid = pid.fetch_one(&mut holder).await.unwrap();
    (holder, pid)
}

#[tokio::test]
async fn the_holder_of_the_lock_is_named_in_the_log_the_metrics_and_the_commands() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let free = stage.program(&["check"]).finish().await.expect_code(0);
    let (holder, pid) = foreign_holder(&stage).await;
    let daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "10ms");

    let mut daemon = daemon.set("SANGGWOND_OBSERVE__LISTEN", "127.0.0.1:0").start();
    let address = observe::address(&mut daemon).await;
    daemon.says(&format!("it is held by PostgreSQL backend {pid} (role ")).await;
    let said = daemon.stderr();
    let waiting = observe::get(&address, "/metrics").await;
    let checked = stage.program(&["check"]).finish().await.expect_code(0);
    let crawled = stage.program(&["crawl"]).finish().await.expect_code(1);
    holder.close().await.unwrap();
    daemon.says("run 1 ended as succeeded").await;
    let done = observe::get(&address, "/metrics").await;
    daemon.terminate().await.expect_code(0);

    assert!(said.contains("nightly-backup"), "{said}");
    assert!(observe::value(&waiting, "sanggwond_lock_wait_seconds") > 0.05, "{waiting}");
    let series = format!("sanggwond_lock_holder{{pid=\"{pid}\",role=");
    assert!(waiting.contains(&series) && waiting.contains(",application=\"nightly-backup\"} 1"), "{waiting}");
    assert!(observe::value(&done, "sanggwond_lock_wait_seconds") < 0.01 && !done.contains(&series), "{done}");
    assert!(free.stdout.contains("ok      lock: free"), "{}", free.stdout);
    assert!(checked.stdout.contains(&format!("ok      lock: held by PostgreSQL backend {pid} ")), "{}", checked.stdout);
    let busy = format!("another process holds the run lock of this database: PostgreSQL backend {pid}");
    assert!(crawled.stderr.contains(&busy), "{}", crawled.stderr);
}

#[tokio::test]
async fn a_daemon_that_waits_to_migrate_names_the_holder_of_the_lock() {
    let stage = Stage::small().await;
    let (holder, pid) = foreign_holder(&stage).await;

    let mut daemon = stage.program(&[]).start();
    daemon.says(&format!("before applying migrations: PostgreSQL backend {pid} (role ")).await;
    holder.close().await.unwrap();

    daemon.says("migrations applied").await;
    daemon.terminate().await.expect_code(0);
}

#[tokio::test]
async fn a_daemon_logs_why_it_does_not_resume_a_run_yet() {
    let stage = Stage::small().await;
    let manager = ServiceManager::of(&stage);
    stage.standin.set(Switches { daily_quota: Some(4), quota_as_code: true, ..Switches::default() });
    let daemon = manager.service(stage.program(&[])).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();

    manager.hears("STATUS=run 1 will be resumed at ").await;
    stage.execute("alter table crawl_run rename to gone").await;
    let heard = manager.hears("STATUS=waiting for the database: a statement failed: ").await;
    let status = heard.last().unwrap();
    assert!(status.contains("relation \"crawl_run\" does not exist (42P01)"), "{status}");
    stage.execute("alter table gone rename to crawl_run").await;
    manager.hears("STATUS=run 1 will be resumed at ").await;

    daemon.terminate().await.expect_code(0);
}
