//! The database goes away, is full, or is not there yet.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use sanggwond::store::private_server::PrivateServer;

use crate::support::Stage;
use crate::support::database;
use crate::support::program::Running;
use crate::support::server::{folder_for_a_server, server};

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

#[tokio::test]
async fn a_daemon_stops_in_time_where_its_database_is_gone() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let at = home.path().to_owned();
    let server = tokio::task::spawn_blocking(move || PrivateServer::start(&at, &[])).await.unwrap().unwrap();
    let url = format!("postgres://postgres@localhost/postgres?host={}", home.path().join("postgres").display());
    stage.standin.hold();
    let daemon = stage.program(&[]).set("DATABASE_URL", &url).set("SANGGWOND_SHUTDOWN__GRACE", "100ms").start();
    stage.standin.reached(5).await;
    tokio::task::spawn_blocking(move || server.leave()).await.unwrap().unwrap();

    daemon.signal(Signal::SIGTERM);
    // Ten tries to close the row would take two minutes.
    let finished = daemon.finish_within(Duration::from_mins(1)).await.expect_code(0);

    assert!(finished.stderr.contains("the next holder of the lock puts its row right"), "{}", finished.stderr);
}

#[tokio::test]
async fn a_database_without_a_free_connection_is_waited_for() {
    let stage = Stage::small().await;
    if !server().await.is_private() {
        eprintln!("skipped: only a server of our own lets a new role in");
        return;
    }
    let (name, role) = (&stage.database.name, format!("{}_app", stage.database.name));
    database::run(&format!("create role {role} login connection limit 0; grant all on database {name} to {role}"))
        .await;
    let url = server().await.url_as(&role, name);
    let daemon = || stage.program(&[]).set("DATABASE_URL", &url).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms");

    let mut starting = daemon().start();
    starting.says("too many connections").await;
    database::run(&format!("alter role {role} connection limit 10")).await;
    starting.says("run 1 ended as succeeded").await;
    database::run(&format!("alter role {role} connection limit 0")).await;
    stage.hang_up().await;
    starting.says("could not look what is due").await;
    database::run(&format!("alter role {role} connection limit 10")).await;
    starting.says("the database answers again").await;
    stop(starting).await;

    stage.execute("drop schema sanggwond cascade").await;
    database::run(&format!("revoke all on database {name} from {role}; drop role {role}")).await;
}

/// A small disk of its own for a database, which can be filled up.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    fn at(folder: &'a Path) -> Self {
        let mount = ["-t", "tmpfs", "-o", "size=32m,mode=0777", "tmpfs"];
        assert!(Command::new("mount").args(mount).arg(folder).status().unwrap().success());
        let space = folder.join("space");
        std::fs::create_dir(&space).unwrap();
        assert!(Command::new("chown").arg("postgres").arg(space).status().unwrap().success());
        Self(folder)
    }

    fn fill(&self) {
        // It ends with an error when the disk is full.
        let zeros = std::fs::File::open("/dev/zero").unwrap();
        std::io::copy(&mut std::io::BufReader::new(zeros), &mut std::fs::File::create(self.0.join("full")).unwrap())
            .unwrap_err();
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("full")).unwrap();
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.0).status().ok();
    }
}

#[tokio::test]
async fn a_full_disk_interrupts_the_run_which_goes_on_when_there_is_room() {
    if !geteuid().is_root() || !server().await.is_private() {
        eprintln!("skipped: only root can mount a small disk, and only a server of our own writes to it");
        return;
    }
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let disk = SmallDisk::at(home.path());
    let (name, space) = (&stage.database.name, home.path().join("space"));
    database::run(&format!("create tablespace {name} location '{}'", space.display())).await;
    database::run(&format!("alter database {name} set tablespace {name}")).await;
    stage.standin.hold();
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    stage.standin.reached(5).await;

    disk.fill();
    stage.standin.release();
    daemon.says("No space left on device").await;
    disk.empty();
    daemon.says("run 1 ended as succeeded").await;
    stop(daemon).await;

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
    let name = name.clone();
    drop(stage);
    database::run(&format!("drop tablespace {name}")).await;
}
