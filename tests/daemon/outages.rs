//! The database goes away, or is not there yet.

use nix::sys::signal::Signal;
use sanggwond::store::private_server::PrivateServer;

use crate::support::Stage;
use crate::support::program::Running;
use crate::support::server::folder_for_a_server;

async fn stop(running: Running) {
    running.signal(Signal::SIGTERM);
    running.finish().await.expect_code(0);
}

#[tokio::test]
async fn a_daemon_waits_for_a_database_that_is_not_there_yet() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let url = format!("postgres://postgres@localhost/postgres?host={}", home.path().join("postgres").display());
    let mut daemon = stage.program(&[]).set("DATABASE_URL", &url).start();
    daemon.says("trying again in 1s").await;

    let at = home.path().to_owned();
    let server = tokio::task::spawn_blocking(move || PrivateServer::start(&at, &[])).await.unwrap().unwrap();
    daemon.says("run 1 ended as succeeded").await;
    let said = daemon.stderr();
    stop(daemon).await;

    let waited = said.lines().filter(|line| line.contains("trying again")).collect::<Vec<_>>();
    assert!(waited[0].contains("could not reach the database postgres at"), "{waited:?}");
    tokio::task::spawn_blocking(move || server.leave()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_signal_ends_the_wait_for_the_database() {
    let stage = Stage::small().await;
    let mut daemon = stage.program(&[]).set("DATABASE_URL", "postgres://app@127.0.0.1:1/places").start();
    daemon.says("trying again in 1s").await;

    stop(daemon).await;
}

#[tokio::test]
async fn migrations_wait_for_a_run_of_another_process_and_a_signal_ends_that_wait() {
    let stage = Stage::small().await;
    let mut holder = stage.pool().acquire().await.unwrap();
    // The key of the lock: the letters sanggwon.
    sqlx::query("select pg_advisory_lock(x'73616e6767776f6e'::bigint)").execute(&mut *holder).await.unwrap();
    let mut daemon = stage.program(&[]).start();
    daemon.says("waiting for another process to finish its run before the tables are migrated").await;

    stop(daemon).await;

    assert!(stage.value::<bool>("select to_regclass('sanggwond.place') is null").await);
}

#[tokio::test]
async fn a_read_only_database_is_waited_for_at_the_start_and_in_the_middle() {
    let stage = Stage::small().await;
    stage.read_only(true).await;
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says("read-only").await;
    stage.read_only(false).await;
    daemon.says("run 1 ended as succeeded").await;
    stop(daemon).await;

    stage.execute("update crawl_run set status = 'interrupted', finished_at = null, cells_done = 0").await;
    stage.execute("update crawl_cell set status = 'pending', attempts = 0").await;
    stage.execute("update crawl_run set requests = 0, cells_truncated = 0").await;
    stage.read_only(true).await;
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says("could not look what is due").await;
    stage.read_only(false).await;
    stage.hang_up().await;
    daemon.says("run 1 ended as succeeded").await;
    stop(daemon).await;
}

#[tokio::test]
async fn a_run_whose_connections_are_cut_is_interrupted_and_goes_on_at_the_next_heartbeat() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    stage.standin.reached(5).await;

    stage.hang_up().await;
    daemon.says("run 1 ended as interrupted (the lock was lost").await;
    stage.standin.release();
    daemon.says("run 1 ended as succeeded").await;
    stop(daemon).await;

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}
