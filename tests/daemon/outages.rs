//! The database is stopped, is full, or does not exist yet.

use std::fs::File;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use sanggwond::store::private_server::PrivateServer;
use sqlx::{Connection as _, PgConnection};

use crate::support::database;
use crate::support::program::Running;
use crate::support::replica::Pair;
use crate::support::server::{folder_for_a_server, server};
use crate::support::{Stage, lacks, skip};

#[tokio::test]
async fn a_daemon_waits_until_its_database_exists() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let url = format!("postgres://postgres@localhost/postgres?host={}", home.path().join("postgres").display());
    let mut daemon = stage.program(&[]).set("DATABASE_URL", &url).start();
    daemon.says("trying again in 1s").await;

    let server = PrivateServer::start(home.path(), &[]).await.unwrap();
    daemon.says("run 1 ended as succeeded").await;
    let said = daemon.stderr();
    daemon.terminate().await.expect_code(0);

    let waited = said.lines().filter(|line| line.contains("trying again")).collect::<Vec<_>>();
    assert!(waited[0].contains("could not reach the database postgres at"), "{waited:?}");
    server.leave().await.unwrap();
}

#[tokio::test]
async fn a_signal_ends_the_wait_for_the_database() {
    let stage = Stage::small().await;
    let mut daemon = stage.program(&[]).set("DATABASE_URL", "postgres://app@127.0.0.1:1/places").start();
    daemon.says("trying again in 1s").await;

    daemon.terminate().await.expect_code(0);
}

#[tokio::test]
async fn migrations_wait_for_the_run_of_another_process_until_a_signal() {
    let stage = Stage::small().await;
    let mut holder = stage.pool().acquire().await.unwrap();
    // The key of the run lock: the letters `sanggwon` as a 64-bit integer.
    sqlx::query("select pg_advisory_lock(x'73616e6767776f6e'::bigint)").execute(&mut *holder).await.unwrap();
    let mut daemon = stage.program(&[]).start();
    daemon.says("waiting for another process to finish its run before applying migrations").await;

    daemon.terminate().await.expect_code(0);

    assert!(stage.value::<bool>("select to_regclass('sanggwond.place') is null").await);
}

#[tokio::test]
async fn a_daemon_waits_while_the_database_is_read_only_at_its_start_or_during_a_run() {
    let stage = Stage::small().await;
    stage.read_only(true).await;
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says("read-only").await;
    stage.read_only(false).await;
    daemon.says("run 1 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    stage.execute("update crawl_run set status = 'interrupted', finished_at = null, cells_done = 0").await;
    stage.execute("update crawl_cell set status = 'pending', attempts = 0").await;
    stage.execute("update crawl_run set requests = 0, cells_truncated = 0").await;
    stage.read_only(true).await;
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says("could not check which runs are due").await;
    stage.read_only(false).await;
    stage.hang_up().await;
    daemon.says("run 1 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);
}

#[tokio::test]
async fn a_run_that_loses_its_connections_is_interrupted_and_resumed_at_the_next_heartbeat() {
    let stage = Stage::small().await;
    stage.standin.hold();
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    stage.standin.reached(5).await;

    stage.hang_up().await;
    daemon.says("run 1 ended as interrupted (the lock was lost").await;
    stage.standin.release();
    daemon.says("run 1 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
}

#[tokio::test]
async fn a_daemon_stops_in_time_if_its_database_is_unreachable() {
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let server = PrivateServer::start(home.path(), &[]).await.unwrap();
    let url = format!("postgres://postgres@localhost/postgres?host={}", home.path().join("postgres").display());
    stage.standin.hold();
    let daemon = stage.program(&[]).set("DATABASE_URL", &url).set("SANGGWOND_SHUTDOWN__GRACE", "100ms").start();
    stage.standin.reached(5).await;
    server.leave().await.unwrap();

    daemon.signal(Signal::SIGTERM);
    // Ten attempts to close the row would take two minutes.
    let finished = daemon.finish_within(Duration::from_mins(1)).await.expect_code(0);

    assert!(
        finished.stderr.contains("the next process that holds the run lock corrects its row"),
        "{}",
        finished.stderr
    );
}

#[tokio::test]
async fn a_daemon_waits_for_a_free_connection_of_the_database() {
    let stage = Stage::small().await;
    if !server().await.is_private() {
        skip("a_daemon_waits_for_a_free_connection_of_the_database", "only a server of our own lets a new role in");
        return;
    }
    let (name, role) = (&stage.database.name, format!("{}_app", stage.database.name));
    database::run(&format!("create role {role} login connection limit 0; grant all on database {name} to {role}"))
        .await;
    let url = server().await.url_as(&role, name);
    let daemon = || stage.program(&[]).set("DATABASE_URL", &url).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms");

    let mut starting = daemon().start();
    starting.says("too many connections").await;
    starting.says("a daemon or a crawl makes 3 connections").await;
    database::run(&format!("alter role {role} connection limit 10")).await;
    starting.says("run 1 ended as succeeded").await;
    database::run(&format!("alter role {role} connection limit 0")).await;
    stage.hang_up().await;
    starting.says_times("could not check which runs are due", 2).await;
    let said = starting.stderr();
    database::run(&format!("alter role {role} connection limit 10")).await;
    starting.says("the database is reachable again").await;
    starting.terminate().await.expect_code(0);

    // Every line has the reason, and the row of the run that started after the wait states why no run started earlier. The
    // first line may be about a statement that was ended with its connection.
    let told = said.lines().filter(|line| line.contains("could not check which runs are due")).collect::<Vec<_>>();
    let has_reason = |line: &&str| line.contains("too many connections for role");
    assert!(told.iter().all(|line| has_reason(line) || line.contains("a statement failed")), "{told:?}");
    assert!(told.last().is_some_and(has_reason), "{told:?}");
    let late = stage.value::<String>("select late_because from crawl_run").await;
    assert!(
        late.starts_with("no run could start from ") && late.contains(" (Seoul): could not reach the database "),
        "{late}"
    );
    assert!(late.contains("too many connections for role"), "{late}");
    stage.execute("drop schema sanggwond cascade").await;
    database::run(&format!("revoke all on database {name} from {role}; drop role {role}")).await;
}

/// A small separate disk for a database, which the test can fill.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// Mounts it, with a folder for the server; `Err` is the reason why this process cannot mount it.
    fn at(folder: &'a Path, (uid, gid): (u32, u32)) -> Result<Self, String> {
        let mount = ["-t", "tmpfs", "-o", "size=32m,mode=0777", "tmpfs"];
        let mounted = Command::new("mount").args(mount).arg(folder).output().map_err(|error| error.to_string())?;
        if !mounted.status.success() {
            return Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned());
        }
        let space = folder.join("space");
        std::fs::create_dir(&space).unwrap();
        chown(space, Some(uid), Some(gid)).unwrap();
        Ok(Self(folder))
    }

    fn fill(&self) {
        // It ends with an error when the disk is full.
        let zeros = File::open("/dev/zero").unwrap();
        std::io::copy(&mut std::io::BufReader::new(zeros), &mut File::create(self.0.join("full")).unwrap())
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
async fn a_full_disk_interrupts_a_run_that_is_resumed_when_there_is_space() {
    let name = "a_full_disk_interrupts_a_run_that_is_resumed_when_there_is_space";
    if !server().await.is_private() {
        return skip(name, "only a server of our own writes to a small disk of this machine");
    }
    let (stage, home) = (Stage::small().await, folder_for_a_server());
    let disk = match SmallDisk::at(home.path(), server().await.account()) {
        Ok(disk) => disk,
        Err(why) => return skip(name, &format!("a small disk cannot be mounted: {why}")),
    };
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
    daemon.terminate().await.expect_code(0);

    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 1);
    let name = name.clone();
    drop(stage);
    database::run(&format!("drop tablespace {name}")).await;
}

/// An export that waits for a lock of the connection.
async fn a_waiting_export(stage: &Stage, pair: &Pair) -> (Running, PgConnection) {
    let mut blocker = PgConnection::connect_with(&pair.options()).await.unwrap();
    sqlx::raw_sql("begin; lock table place in access exclusive mode").execute(&mut blocker).await.unwrap();
    let export = stage.program(&["export", "--format", "csv"]).start();
    let is_waiting = "select exists (select from pg_locks where not granted and relation = 'place'::regclass)";
    while !sqlx::query_scalar::<_, bool>(is_waiting).fetch_one(&mut blocker).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (export, blocker)
}

#[tokio::test]
async fn a_run_and_its_follower_go_on_when_the_primary_is_lost_without_a_word_and_an_export_ends() {
    if !server().await.is_private() {
        lacks("the loss of a primary", "DATABASE_URL is set");
        return;
    }
    let (mut pair, mut stage) = (Pair::start().await, Stage::small().await);
    stage.database.url = pair.url();
    stage.crawl().await;
    let seen = stage.folder.path().join("followed");
    stage.standin.hold();
    let crawl = stage.program(&["crawl"]).start();
    let follow = stage.program(&["runs", "--follow"]).start_into(File::create(&seen).unwrap());
    while !std::fs::read_to_string(&seen).unwrap().contains("run 2 (manual)") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (export, _blocker) = a_waiting_export(&stage, &pair).await;

    pair.freeze();
    pair.promote().await;
    let export = export.finish().await.expect_code(1);
    stage.standin.release();
    crawl.finish().await.expect_code(0);
    follow.finish().await.expect_code(0);

    assert!(export.stderr.contains("the primary is another server now"), "{}", export.stderr);
    let followed = std::fs::read_to_string(&seen).unwrap();
    assert!(followed.ends_with("\nrun 2 succeeded: all 6 cells done\n"), "{followed}");
}

#[tokio::test]
async fn an_export_ends_when_its_only_server_is_lost_without_a_word() {
    if !server().await.is_private() {
        lacks("the loss of a server", "DATABASE_URL is set");
        return;
    }
    let (pair, mut stage) = (Pair::start().await, Stage::small().await);
    stage.database.url = pair.url_of_primary();
    stage.crawl().await;
    let (export, _blocker) = a_waiting_export(&stage, &pair).await;

    pair.freeze();
    let export = export.finish().await.expect_code(1);

    assert!(export.stderr.contains("the database has not answered for 30s"), "{}", export.stderr);
}

#[tokio::test]
async fn a_daemon_says_what_to_do_if_its_database_is_replaced_by_an_older_one() {
    let stage = Stage::small().await;
    let mut daemon = stage.program(&[]).set("SANGGWOND_SCHEDULE__HEARTBEAT", "100ms").start();
    daemon.says("run 1 ended as succeeded").await;
    stage
        .execute(
            "create table public.kept as select * from _sqlx_migrations order by version desc limit 1;
             delete from _sqlx_migrations where version in (select version from public.kept)",
        )
        .await;
    stage.value::<i64>("select request_run('{}')").await;
    daemon.says("migrations are missing in the database (1): restart the daemon, or run `sanggwond migrate`").await;

    stage.execute("insert into _sqlx_migrations select * from public.kept").await;
    daemon.says("run 2 ended as succeeded").await;
    daemon.terminate().await.expect_code(0);
}
