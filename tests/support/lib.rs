//! The environment of the tests: a real PostgreSQL, the stand-in for the API, and the real binary.

pub(crate) mod database;
pub(crate) mod front;
pub(crate) mod hostile;
pub(crate) mod ledger;
pub(crate) mod liar;
pub(crate) mod program;
pub(crate) mod python;
pub(crate) mod receiver;
pub(crate) mod replica;
pub(crate) mod server;
pub(crate) mod table;
pub(crate) mod town;

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use sanggwond::standin::{Listening, Standin, World};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::task::JoinSet;

use database::Database;
use program::Program;

/// The API key of the programs. Tests check that it appears nowhere.
pub(crate) const KEY: &str = "canary0123456789abcdef0123456789";

/// Reports that a test is skipped because something is not allowed here. With `TESTS_SKIP=never`, as in CI, it fails
/// instead.
pub(crate) fn skip(test: &str, why: &str) {
    let is_allowed = std::env::var_os("TESTS_SKIP").is_none_or(|skip| skip != "never");
    assert!(is_allowed, "{test} cannot run here: {why}");
    lacks(test, why);
}

/// Reports that a test is skipped because this machine lacks something, on a separate line that the test harness does
/// not hide.
pub(crate) fn lacks(test: &str, why: &str) {
    // The harness hides the output of macros such as `eprintln!` if the test passes.
    std::io::stderr().write_all(format!("\nskipped: {test}: {why}\n").as_bytes()).unwrap();
}

/// The database, the stand-in and the folder of one test.
pub(crate) struct Stage {
    /// The stand-in.
    pub(crate) standin: Standin,
    /// The URL of the stand-in.
    pub(crate) api_url: String,
    /// The database.
    pub(crate) database: Database,
    /// A folder for this test.
    pub(crate) folder: TempDir,
    _serving: JoinSet<()>,
}

impl Stage {
    /// Creates a fresh database, a stand-in that serves `world`, and a station file.
    pub(crate) async fn new(world: World, stations: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.toml"), "").unwrap();
        std::fs::write(folder.path().join("stations.csv"), stations).unwrap();
        let standin = Standin::new(world);
        let listening = standin.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
        let api_url = listening.url();
        let mut serving = JoinSet::new();
        serving.spawn(Listening::serve(listening));
        Self { standin, api_url, database: Database::fresh().await, folder, _serving: serving }
    }

    /// A stage with the small town of [`town`].
    pub(crate) async fn small() -> Self {
        Self::new(town::world(), town::STATIONS).await
    }

    /// Connections to the database, with the schema in the search path.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// The binary with these arguments, configured for this stage, without page delay, without canaries (most tests count
    /// requests) and with a backoff of 1 ms.
    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        Program::new(arguments)
            .set("DATABASE_URL", &self.database.url)
            .set("KAKAO_REST_API_KEY", KEY)
            .set("SANGGWOND_KAKAO__BASE_URL", &self.api_url)
            .set("SANGGWOND_KAKAO__BACKOFF", "1ms")
            .set("SANGGWOND_CRAWL__PAGE_DELAY", "0s")
            .set("SANGGWOND_CRAWL__CANARIES", "false")
            .set("SANGGWOND_CRAWL__STATIONS", self.folder.path().join("stations.csv").to_str().unwrap())
            .set("SANGGWOND_CRAWL__KEYWORDS", town::KEYWORDS.join(","))
            .config(&self.folder.path().join("config.toml"))
    }

    /// The daemon with a clock that starts at an instant (UTC) and runs on.
    pub(crate) fn daemon_from(&self, instant: &str) -> Program {
        self.fake_clock().set("FAKETIME", format!("@{instant}"))
    }

    /// The daemon with a clock whose offset from the real one is in `file`, such as `+3600s`. The file is read again on
    /// every use of the clock.
    pub(crate) fn daemon_with_clock(&self, file: &Path) -> Program {
        self.fake_clock().set("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()).set("FAKETIME_NO_CACHE", "1")
    }

    /// The binary with these arguments and a clock that starts at an instant (UTC).
    pub(crate) fn program_at(&self, instant: &str, arguments: &[&str]) -> Program {
        self.with_fake_clock(arguments).set("FAKETIME", format!("@{instant}"))
    }

    fn fake_clock(&self) -> Program {
        self.with_fake_clock(&[])
    }

    fn with_fake_clock(&self, arguments: &[&str]) -> Program {
        let folders = std::fs::read_dir("/usr/lib").unwrap();
        let mut libraries = folders.map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"));
        let library = libraries.find(|path| path.exists()).expect("libfaketime is installed (Debian: faketime)");
        self.program(arguments)
            .set("LD_PRELOAD", library.to_str().unwrap())
            .set("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .set("TZ", "UTC")
    }

    /// Replaces the station file.
    pub(crate) fn set_stations(&self, stations: &str) {
        std::fs::write(self.folder.path().join("stations.csv"), stations).unwrap();
    }

    /// Crawls everything once, and expects exit code 0.
    pub(crate) async fn crawl(&self) {
        self.program(&["crawl"]).finish().await.expect_code(0);
    }

    /// One value from the database.
    pub(crate) async fn value<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(sql).fetch_one(self.pool()).await.unwrap()
    }

    /// All rows of a query that returns one text column.
    pub(crate) async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(self.pool()).await.unwrap()
    }

    /// All rows of all tables as text.
    pub(crate) async fn everything_stored(&self) -> String {
        let of_each = "select format('select string_agg(t::text, E''\\n'') from %s t', oid::regclass) from pg_class
             where relnamespace = 'sanggwond'::regnamespace and relkind = 'r'";
        let mut rows = String::new();
        for sql in self.texts(of_each).await {
            let of_one: Option<String> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(self.pool()).await.unwrap();
            rows.extend(of_one);
        }
        rows
    }

    /// The rows of a query as a table with the names of the columns, for a snapshot.
    pub(crate) async fn rows(&self, sql: &'static str) -> String {
        table::of(&sqlx::raw_sql(sql).fetch_all(self.pool()).await.unwrap())
    }

    /// The rows of a query, each as a JSON object with the names of the columns.
    pub(crate) async fn json_rows(&self, sql: &'static str) -> Vec<String> {
        let sql = format!("select row_to_json(t)::text from ({sql}) t");
        sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_all(self.pool()).await.unwrap()
    }

    /// Makes new transactions of the database read-only, or writable again.
    pub(crate) async fn read_only(&self, is_read_only: bool) {
        let database = &self.database.name;
        database::run(&format!("alter database {database} set default_transaction_read_only = {is_read_only}")).await;
    }

    /// Waits until the program waits for a lock in the database.
    pub(crate) async fn blocked_by_a_lock(&self) {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database()
             and application_name = 'sanggwond' and wait_event_type = 'Lock'";
        while self.value::<i64>(waiting).await == 0 {
            // Poll, because the server sends no notification when a session starts to wait.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Moves all runs 7 days back, so that another run is due. One tick lies in 7 days, whatever day it is; on some days, two
    /// lie in 8.
    pub(crate) async fn a_week_passes(&self) {
        self.execute(
            "update crawl_run set started_at = started_at - interval '7 days',
                 finished_at = finished_at - interval '7 days', heartbeat_at = heartbeat_at - interval '7 days'",
        )
        .await;
    }

    /// Waits until a query returns true.
    pub(crate) async fn becomes_true(&self, sql: &'static str) {
        let waiting = async {
            while !self.value::<bool>(sql).await {
                // Poll, because the server sends no notification when a row changes.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let is_true = tokio::time::timeout(program::PATIENCE, waiting).await.is_ok();
        assert!(is_true, "it never became true: {sql}");
    }

    /// Closes all connections of the program to the database.
    pub(crate) async fn hang_up(&self) {
        self.value::<i64>(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and application_name = 'sanggwond'",
        )
        .await;
    }

    /// Executes statements in the database directly, without the program.
    pub(crate) async fn execute(&self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(self.pool()).await.unwrap();
    }
}
