//! The daemon's notifications to the service manager, which a socket simulates.

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::net::UnixDatagram;

use crate::support::Stage;
use crate::support::program::Program;

/// Time limit for a notification.
const PATIENCE: Duration = Duration::from_mins(3);

/// A simulated service manager.
pub(crate) struct ServiceManager {
    socket: UnixDatagram,
    path: String,
}

impl ServiceManager {
    pub(crate) fn of(stage: &Stage) -> Self {
        let path = stage.folder.path().join("notify");
        Self { socket: UnixDatagram::bind(&path).unwrap(), path: path.to_str().unwrap().to_owned() }
    }

    /// The program as a service with a watchdog.
    pub(crate) fn service(&self, program: Program) -> Program {
        program.set("NOTIFY_SOCKET", &self.path).set("WATCHDOG_USEC", "2000000")
    }

    /// Waits for a notification with these words, and returns all notifications up to it.
    pub(crate) async fn hears(&self, words: &str) -> Vec<String> {
        let mut heard = Vec::new();
        let listening = async {
            loop {
                let mut notice = [0; 4096];
                let size = self.socket.recv(&mut notice).await.unwrap();
                heard.push(String::from_utf8(notice[..size].to_vec()).unwrap());
                if heard.last().unwrap().contains(words) {
                    return;
                }
            }
        };
        let is_heard = tokio::time::timeout(PATIENCE, listening).await.is_ok();
        assert!(is_heard, "{words:?} was never said, but {heard:?}");
        heard
    }
}

#[tokio::test]
async fn ready_is_sent_once_the_tables_exist_and_the_status_shows_the_next_run() {
    let stage = Stage::small().await;
    let manager = ServiceManager::of(&stage);
    let daemon = manager.service(stage.program(&[])).set("SANGGWOND_SCHEDULE__CATCH_UP_WINDOW", "0s").start();

    let heard = manager.hears("READY=1").await;
    let has_tables = stage.value::<bool>("select to_regclass('sanggwond.place_change') is not null").await;
    daemon.terminate().await.expect_code(0);

    assert!(has_tables);
    assert_eq!(heard[0], "STATUS=waiting for the database and its tables\n");
    let ready = heard.last().unwrap();
    assert!(ready.starts_with("STATUS=idle; next run Mon ") && ready.contains(" 03:00:00 Seoul"), "{ready}");
}

#[tokio::test]
async fn the_start_timeout_is_extended_while_the_database_is_unreachable() {
    let stage = Stage::small().await;
    let manager = ServiceManager::of(&stage);
    let away = stage.program(&[]).set("DATABASE_URL", "postgres://app@127.0.0.1:1/places");
    let daemon = manager.service(away).start();

    manager.hears("EXTEND_TIMEOUT_USEC=").await;
    let heard = manager.hears("EXTEND_TIMEOUT_USEC=").await;
    daemon.terminate().await.expect_code(0);

    let (waiting, rest): (Vec<_>, Vec<_>) = heard.into_iter().partition(|notice| notice.starts_with("STATUS="));
    assert_eq!(rest, ["EXTEND_TIMEOUT_USEC=30000000\n"], "neither ready nor alive");
    let cause =
        "STATUS=waiting for the database: could not reach the database places at 127.0.0.1:1: Connection refused";
    assert!(waiting.iter().all(|status| status.starts_with(cause)) && !waiting.is_empty(), "{waiting:?}");
}

#[tokio::test]
async fn the_watchdog_is_reset_even_with_a_long_heartbeat() {
    let stage = Stage::small().await;
    let manager = ServiceManager::of(&stage);
    let mut daemon = manager.service(stage.program(&[])).set("SANGGWOND_SCHEDULE__HEARTBEAT", "1h").start();
    daemon.says("run 1 ended as succeeded").await;

    for _ in 0..3 {
        manager.hears("WATCHDOG=1").await;
    }

    daemon.terminate().await.expect_code(0);
}

#[tokio::test]
async fn the_watchdog_is_reset_and_the_status_shows_the_progress_while_a_run_waits_for_the_api() {
    let stage = Stage::small().await;
    let manager = ServiceManager::of(&stage);
    stage.standin.hold();
    let daemon = manager.service(stage.program(&[])).set("SANGGWOND_KAKAO__TIMEOUT", "1h").start();
    stage.standin.reached(5).await;

    manager.hears("STATUS=crawling: 0 of 6 cells done, 0 failed; next run Mon ").await;
    for _ in 0..2 {
        manager.hears("WATCHDOG=1").await;
    }

    stage.standin.release();
    daemon.terminate().await.expect_code(0);
}

#[tokio::test]
async fn stopping_is_sent_and_the_stop_timeout_is_extended() {
    let stage = Stage::small().await;
    let manager = ServiceManager::of(&stage);
    stage.standin.hold();
    let daemon = manager.service(stage.program(&[])).set("SANGGWOND_KAKAO__TIMEOUT", "1h").start();
    stage.standin.reached(5).await;

    daemon.signal(Signal::SIGTERM);
    manager.hears("STOPPING=1").await;
    manager.hears("EXTEND_TIMEOUT_USEC=").await;
    manager.hears("STATUS=stopping; crawling: 0 of 6 cells done").await;
    manager.hears("EXTEND_TIMEOUT_USEC=").await;
    stage.standin.release();

    daemon.finish().await.expect_code(0);
    assert_eq!(stage.value::<String>("select status from crawl_run").await, "interrupted");
}
