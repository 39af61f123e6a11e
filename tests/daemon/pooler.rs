//! A real `PgBouncer` in front of the database: what works through it, and what is refused with a message.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::support::program::Program;
use crate::support::server::{folder_for_a_server, server};
use crate::support::{Stage, lacks, skip};

/// A pooler that is stopped at the end of the test.
struct Pooler {
    child: Child,
    port: u16,
    _folder: TempDir,
}

impl Pooler {
    /// Starts one with the settings of Debian's package, except for its address, and these settings.
    async fn start(address: &str, settings: &str) -> Self {
        Self::start_with(address, "", settings).await
    }

    /// Starts one that connects to this database, whatever the client requests.
    async fn to_one(database: &str) -> Self {
        Self::start_with("127.0.0.1", &format!("dbname={database}"), "").await
    }

    async fn start_with(address: &str, database: &str, settings: &str) -> Self {
        let options = &server().await.options;
        let host =
            options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
        // The port was free a moment ago. A port cannot be reserved for another program more safely than that.
        let port = std::net::TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port();
        let folder = folder_for_a_server();
        let at = folder.path().display();
        std::fs::write(folder.path().join("users"), "\"postgres\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host={host} port={} {database}\n[pgbouncer]\nlisten_addr = {address}\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {at}/users\n{settings}\n",
            options.get_port()
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), text).unwrap();
        let child = tokio::task::spawn_blocking({
            let file = folder.path().join("pgbouncer.ini");
            move || started(&file)
        });
        Self { child: child.await.unwrap(), port, _folder: folder }
    }

    fn url(&self, host: &str, database: &str) -> String {
        format!("postgres://postgres@{host}:{}/{database}", self.port)
    }
}

/// Starts the program, and waits until it reports that it is up. It does not run as root.
fn started(file: &std::path::Path) -> Child {
    let program = std::env::split_paths("/usr/sbin:/usr/bin:/usr/local/bin").map(|folder| folder.join("pgbouncer"));
    let program = program.into_iter().find(|path| path.exists()).expect("PgBouncer is installed (Debian: pgbouncer)");
    let mut command = if geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    let mut child =
        command.arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said = String::new();
    while let Some(line) = lines.next() {
        if line.contains("process up") {
            // Keep reading, so that it never blocks on a full pipe.
            std::thread::spawn(move || lines.for_each(drop));
            return child;
        }
        said.push_str(&line);
        said.push('\n');
    }
    child.kill().ok();
    child.wait().ok();
    panic!("PgBouncer does not start:\n{said}");
}

impl Drop for Pooler {
    fn drop(&mut self) {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGKILL).ok();
        self.child.wait().ok();
    }
}

/// Whether the server of the tests requires no password, so that the pooler can log in.
async fn lets_poolers_in() -> bool {
    let is_private = server().await.is_private();
    if !is_private {
        skip(
            "a test with PgBouncer",
            "the server of DATABASE_URL may ask for a password, which the pooler does not know",
        );
    }
    is_private
}

fn through(stage: &Stage, arguments: &[&str], url: &str) -> Program {
    stage.program(arguments).set("DATABASE_URL", url)
}

#[tokio::test]
async fn everything_works_behind_a_pooler_in_session_mode_with_other_defaults() {
    if !lets_poolers_in().await {
        return;
    }
    let stage = Stage::small().await;
    let pooler = Pooler::start("127.0.0.1", "").await;
    let url = pooler.url("127.0.0.1", &stage.database.name);

    through(&stage, &["migrate"], &url).finish().await.expect_code(0);
    through(&stage, &["crawl"], &url).set("SANGGWOND_CRAWL__COVERAGE", "complete").finish().await.expect_code(0);
    let checked = through(&stage, &["check"], &url).finish().await.expect_code(0);
    let exported = through(&stage, &["export", "--format", "csv"], &url).finish().await.expect_code(0);
    let mut daemon = through(&stage, &[], &url).start();
    daemon.says("next runs by").await;
    daemon.terminate().await.expect_code(0);

    assert!(checked.stdout.contains("ok      tables: up to date"), "{}", checked.stdout);
    assert_eq!(exported.stdout.lines().count(), 1 + 26);
    // The positions are stored exactly.
    let exact = "select bool_and(longitude = round(longitude::numeric, 7)::float8) from place where place_id::int > 30";
    assert!(stage.value::<bool>(exact).await);
}

#[tokio::test]
async fn a_pooler_in_transaction_or_statement_mode_is_refused() {
    if !lets_poolers_in().await {
        return;
    }
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);

    for mode in [
        "pool_mode = transaction",
        "pool_mode = transaction\ndefault_pool_size = 1",
        "pool_mode = transaction\nserver_round_robin = 1\nmin_pool_size = 5",
        "pool_mode = statement",
    ] {
        let pooler = Pooler::start("127.0.0.1", mode).await;
        let url = pooler.url("127.0.0.1", &stage.database.name);
        for command in ["daemon", "crawl", "check", "migrate", "runs"] {
            let refused = through(&stage, &[command], &url).finish().await.expect_code(1);

            let said = format!("{}{}", refused.stdout, refused.stderr);
            assert!(
                said.contains("set pool_mode = session for this database (PgBouncer)"),
                "{mode}, {command}: {said}"
            );
        }
    }
    assert_eq!(stage.value::<i64>("select count(*) from crawl_run").await, 0);
}

#[tokio::test]
async fn a_parameter_that_a_pooler_refuses_ends_the_daemon_with_the_remedy() {
    if !lets_poolers_in().await {
        return;
    }
    let stage = Stage::small().await;
    let pooler = Pooler::start("127.0.0.1", "").await;
    let url = format!("{}?options=-c%20work_mem%3D8MB", pooler.url("127.0.0.1", &stage.database.name));

    let refused = through(&stage, &[], &url).finish().await.expect_code(1);

    assert!(refused.stderr.contains("unsupported startup parameter: options"), "{}", refused.stderr);
    assert!(refused.stderr.contains("ignore_startup_parameters of PgBouncer"), "{}", refused.stderr);
}

#[tokio::test]
async fn a_url_may_contain_an_ipv6_address() {
    if !lets_poolers_in().await {
        return;
    }
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return lacks("a_url_may_contain_an_ipv6_address", "this machine has no IPv6");
    }
    let stage = Stage::small().await;
    let pooler = Pooler::start("::1", "").await;

    let crawled = through(&stage, &["crawl"], &pooler.url("[::1]", &stage.database.name)).finish().await.expect_code(0);

    assert!(crawled.stdout.contains("26 seen, 26 new"), "{}", crawled.stdout);
}

#[tokio::test]
async fn temporary_tables_left_in_a_pooled_session_are_not_used() {
    if !lets_poolers_in().await {
        return;
    }
    let stage = Stage::small().await;
    stage.crawl().await;
    let pooler = Pooler::start("127.0.0.1", "server_reset_query = deallocate all").await;
    let url = pooler.url("127.0.0.1", &stage.database.name);
    let options = PgConnectOptions::from_str(&url).unwrap().extra_float_digits(None);
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = PgConnection::connect_with(&options).await.unwrap();
        let shadows = "create temporary table _sqlx_migrations (version bigint, checksum bytea);
             create temporary table installation (is_demo boolean); create temporary view run_history as select 1";
        sqlx::raw_sql(shadows).execute(&mut other).await.unwrap();
        others.push(other);
    }
    for other in others {
        other.close().await.unwrap();
    }

    let runs = through(&stage, &["runs"], &url).finish().await.expect_code(0);

    assert!(runs.stdout.contains("all 6 cells done"), "{}", runs.stdout);
}

#[tokio::test]
async fn demo_behind_a_pooler_with_a_single_database_changes_no_real_place() {
    if !lets_poolers_in().await {
        return;
    }
    let stage = Stage::small().await;
    let pooler = Pooler::to_one(&stage.database.name).await;
    let url = pooler.url("127.0.0.1", "places");

    through(&stage, &["crawl"], &url).finish().await.expect_code(0);
    for arguments in [&["purge", "--all", "--yes", "--demo"][..], &["crawl", "--demo"], &["daemon", "--demo"]] {
        let refused = through(&stage, arguments, &url).finish().await.expect_code(2);

        let sentence = format!(
            "--demo needs the database places_demo, but the connection leads to the database {}",
            stage.database.name
        );
        assert!(refused.stderr.contains(&sentence), "{arguments:?}: {}", refused.stderr);
    }
    let checked = through(&stage, &["check", "--demo"], &url).finish().await.expect_code(1);

    assert!(checked.stdout.contains("FAILED  database: --demo needs the database places_demo"), "{}", checked.stdout);
    assert_eq!(stage.value::<i64>("select count(*) from place").await, 26);
}
