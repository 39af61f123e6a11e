//! The private PostgreSQL: started by the first process, stopped by the last one, adopted after a kill.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::Stage;
use crate::support::program::Program;
use crate::support::server::folder_for_a_server;

fn program(stage: &Stage, arguments: &[&str], home: &Path) -> Program {
    stage.program(arguments).unset("DATABASE_URL").set("SANGGWOND_DATABASE__DIRECTORY", home.to_str().unwrap())
}

fn is_running(home: &Path) -> bool {
    home.join("postgres/data/postmaster.pid").exists()
}

#[tokio::test]
async fn the_last_process_stops_the_server_and_the_data_stays() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    stage.standin.hold();
    let first = program(&stage, &["crawl"], home.path()).start();
    stage.standin.reached(5).await;
    assert_eq!(std::fs::metadata(home.path().join("postgres")).unwrap().permissions().mode() & 0o777, 0o700);

    program(&stage, &["runs"], home.path()).finish().await.expect_code(0);
    assert!(is_running(home.path()), "the first one still works with it");
    stage.standin.release();
    first.finish().await.expect_code(0);

    assert!(!is_running(home.path()));
    let runs = program(&stage, &["runs"], home.path()).finish().await.expect_code(0);
    assert!(runs.stdout.contains("all 6 cells done"), "{}", runs.stdout);
    assert!(!is_running(home.path()));
}

#[tokio::test]
async fn a_server_that_a_kill_left_behind_is_adopted_and_stopped() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    stage.standin.hold();
    let first = program(&stage, &["crawl"], home.path()).start();
    stage.standin.reached(5).await;
    first.signal(Signal::SIGKILL);
    first.finish().await;
    assert!(is_running(home.path()));
    stage.standin.release();

    let resumed = program(&stage, &["crawl"], home.path()).finish().await.expect_code(0);

    assert!(resumed.stdout.contains("run 1 succeeded"), "{}", resumed.stdout);
    assert!(!is_running(home.path()));
}
