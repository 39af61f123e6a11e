//! Unread logs: a full pipe, a paused terminal and a full disk do not delay a run.

use std::fs::File;
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::Signal;
use nix::sys::termios::{FlowArg, tcflow};

use crate::support::program::Program;
use crate::support::{Stage, town};

/// A filter that logs far more than the pipe holds: each line has about 200 bytes, and each cell several lines.
const LOUD: &str = "trace,hyper_util=trace";

fn pipe() -> (PipeReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader, OwnedFd::from(writer))
}

/// A terminal whose output is paused, as by Ctrl-S.
fn paused_terminal() -> OpenptyResult {
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    tcflow(&terminal.slave, FlowArg::TCOOFF).unwrap();
    terminal
}

/// A stage with this many stations, so that a crawl logs many lines.
async fn loud_stage(stations: u32) -> Stage {
    let stage = Stage::new(town::world(), town::STATIONS).await;
    let row = |n: u32| format!("역{n},수도권,37.5552,{},1호선\n", 126.937 + f64::from(n) * 2e-5);
    stage.set_stations(&(0..stations).map(row).collect::<String>());
    stage
}

fn loud(program: Program) -> Program {
    program.set("SANGGWOND_LOG__FILTER", LOUD).set("SANGGWOND_LOG__FORMAT", "json")
}

#[tokio::test]
async fn an_unread_pipe_does_not_block_a_crawl() {
    let stage = loud_stage(300).await;
    let logs = stage.folder.path().join("logs");
    let (mut reader, writer) = pipe();

    let crawl = loud(stage.program(&["crawl"])).set("SANGGWOND_LOG__DIRECTORY", logs.to_str().unwrap());
    crawl.start_on(writer).finish().await.expect_code(0);

    assert_eq!(stage.value::<String>("select status from crawl_run").await, "succeeded");
    let mut written = Vec::new();
    reader.read_to_end(&mut written).unwrap();
    let file = std::fs::read_dir(&logs).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_to_string(file).unwrap();
    assert!(file.len() > 65_536 && written.len() <= 65_536, "{} and {} bytes", file.len(), written.len());
    assert!(file.contains("\"message\":\"run 1 ended as succeeded"), "the file has all");
    let last = file.lines().last().unwrap();
    assert!(last.contains("log lines to stderr were dropped: ") && last.contains("; nobody reads it"), "{last}");
}

#[tokio::test]
async fn a_signal_stops_a_daemon_with_an_unread_log() {
    let stage = loud_stage(300).await;
    let (_reader, writer) = pipe();
    let daemon = loud(stage.program(&[])).start_on(writer);
    // After 500 requests the pipe is full.
    stage.standin.reached(500).await;

    daemon.signal(Signal::SIGTERM);

    daemon.finish_within(Duration::from_secs(30)).await.expect_code(0);
}

#[tokio::test]
async fn the_number_of_dropped_lines_is_logged_when_reading_resumes() {
    let stage = loud_stage(1500).await;
    let (reader, writer) = pipe();
    let daemon = loud(stage.program(&[])).start_on(writer);
    let finished = "select count(*) from crawl_run where finished_at is not null";
    // The table may not exist yet. Poll, because the database sends no notification when a row changes.
    while !matches!(sqlx::query_scalar::<_, i64>(finished).fetch_one(stage.pool()).await, Ok(1)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let reading = tokio::task::spawn_blocking(move || {
        let lines = BufReader::new(reader).lines().map(Result::unwrap);
        lines
            .into_iter()
            .find(|line| line.contains("log lines to stderr were dropped: ") && line.contains("; it took no more"))
            .unwrap()
    });
    let line: serde_json::Value = serde_json::from_str(&reading.await.unwrap()).unwrap();
    daemon.terminate().await.expect_code(0);

    assert!(line["dropped"].as_u64().unwrap() > 1000 && line["level"] == "WARN", "{line}");
}

#[tokio::test]
async fn a_paused_terminal_does_not_block_a_crawl_and_shows_the_lines_later() {
    let stage = loud_stage(300).await;
    let terminal = paused_terminal();

    let crawl = stage.program(&["crawl"]).set("SANGGWOND_LOG__FILTER", LOUD);
    let running = crawl.start_on(terminal.slave.try_clone().unwrap());
    let finished = running.finish().await.expect_code(0);

    assert!(finished.stdout.starts_with("run 1 succeeded"), "{}", finished.stdout);
    tcflow(&terminal.slave, FlowArg::TCOON).unwrap();
}

#[tokio::test]
async fn a_signal_ends_a_crawl_that_waits_to_print_its_results() {
    let stage = Stage::small().await;
    let terminal = paused_terminal();
    let mut running = stage.program(&["crawl"]).start_into(terminal.slave.try_clone().unwrap());
    running.says("run 1 ended as succeeded").await;

    running.signal(Signal::SIGTERM);
    running.finish_within(Duration::from_secs(30)).await.expect_code(4);

    assert_eq!(stage.value::<String>("select status from crawl_run").await, "succeeded");
}

#[tokio::test]
async fn a_resumed_terminal_shows_the_lines_logged_meanwhile() {
    let stage = Stage::small().await;
    let terminal = paused_terminal();
    stage.standin.hold();
    let running = stage.program(&["crawl"]).start_on(terminal.slave.try_clone().unwrap());
    stage.standin.reached(5).await;

    tcflow(&terminal.slave, FlowArg::TCOON).unwrap();
    let master = File::from(terminal.master);
    let (bar, master) = shown_until(master, "0/6 cells").await;
    stage.standin.release();
    let (rest, _master) = shown_until(master, "run 1 ended as succeeded").await;
    drop(terminal.slave);
    running.finish().await.expect_code(0);

    assert!(bar.contains("run 1 started: 6 cells"), "{bar}");
    assert!(rest.contains("INFO"), "{rest}");
}

/// Reads the output on a terminal until it contains these words.
async fn shown_until(mut master: File, words: &'static str) -> (String, File) {
    let reading = tokio::task::spawn_blocking(move || {
        let (mut shown, mut piece) = (String::new(), [0; 4096]);
        while !shown.contains(words) {
            let size = master.read(&mut piece).unwrap();
            shown.push_str(&String::from_utf8_lossy(&piece[..size]));
        }
        (shown, master)
    });
    reading.await.unwrap()
}
