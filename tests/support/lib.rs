//! The stage of the tests: a real PostgreSQL, a stand-in of the API that behaves, and the real binary between them.

pub(crate) mod database;
pub(crate) mod ground;
pub(crate) mod ledger;
pub(crate) mod program;
pub(crate) mod server;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use sanggwond::standin::{Listening, Standin, World};
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::task::JoinSet;

use database::Database;
use program::Program;

/// The key that the programs are given; a test looks for it wherever it must not be.
pub(crate) const KEY: &str = "canary0123456789abcdef0123456789";

/// A database and a stand-in of its own for one test.
pub(crate) struct Stage {
    /// The stand-in.
    pub(crate) standin: Standin,
    /// Where it listens.
    pub(crate) api_url: String,
    /// The database.
    pub(crate) database: Database,
    /// A folder for this test.
    pub(crate) folder: TempDir,
    _serving: JoinSet<()>,
}

impl Stage {
    /// Sets the stage: a fresh database, a stand-in that serves `world`, and the stations of `ground`.
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

    /// The small town of [`ground`].
    pub(crate) async fn small() -> Self {
        Self::new(ground::world(), ground::STATIONS).await
    }

    /// Connections to the database, with the schema in the search path.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// The binary with these arguments, ready to work on this stage and without any wait that a test could do without.
    pub(crate) fn program(&self, arguments: &[&str]) -> Program {
        Program::new(arguments)
            .set("DATABASE_URL", &self.database.url)
            .set("KAKAO_REST_API_KEY", KEY)
            .set("SANGGWOND_KAKAO__BASE_URL", &self.api_url)
            .set("SANGGWOND_KAKAO__BACKOFF", "1ms")
            .set("SANGGWOND_CRAWL__PAGE_DELAY", "0s")
            .set("SANGGWOND_CRAWL__STATIONS", self.folder.path().join("stations.csv").to_str().unwrap())
            .set("SANGGWOND_CRAWL__KEYWORDS", &ground::KEYWORDS.join(","))
            .config(&self.folder.path().join("config.toml"))
    }

    /// The daemon with a clock that begins at an instant (UTC) and goes on from there.
    pub(crate) fn daemon_from(&self, instant: &str) -> Program {
        self.fake_clock().set("FAKETIME", &format!("@{instant}"))
    }

    /// The daemon with a clock that is as far from the real one as `file` says, such as `+3600s`, at any moment.
    pub(crate) fn daemon_with_clock(&self, file: &Path) -> Program {
        self.fake_clock().set("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()).set("FAKETIME_NO_CACHE", "1")
    }

    fn fake_clock(&self) -> Program {
        let folders = std::fs::read_dir("/usr/lib").unwrap();
        let mut libraries = folders.map(|entry| entry.unwrap().path().join("faketime/libfaketime.so.1"));
        let library = libraries.find(|path| path.exists()).expect("libfaketime is installed (Debian: faketime)");
        self.program(&[])
            .set("LD_PRELOAD", library.to_str().unwrap())
            .set("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .set("TZ", "UTC")
    }

    /// Replaces the station file.
    pub(crate) fn set_stations(&self, stations: &str) {
        std::fs::write(self.folder.path().join("stations.csv"), stations).unwrap();
    }

    /// Crawls everything once, and expects it to succeed.
    pub(crate) async fn crawl(&self) {
        self.program(&["crawl"]).finish().await.expect_code(0);
    }

    /// One value out of the database.
    pub(crate) async fn value<T>(&self, sql: &'static str) -> T
    where
        T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        sqlx::query_scalar(sql).fetch_one(self.pool()).await.unwrap()
    }

    /// All rows of a query whose columns are one text each.
    pub(crate) async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(self.pool()).await.unwrap()
    }

    /// Makes new transactions of the database read-only, or not.
    pub(crate) async fn read_only(&self, is_read_only: bool) {
        let database = &self.database.name;
        database::run(&format!("alter database {database} set default_transaction_read_only = {is_read_only}")).await;
    }

    /// Waits until the program waits for a lock in the database.
    pub(crate) async fn blocked_by_a_lock(&self) {
        let waiting = "select count(*) from pg_stat_activity where datname = current_database()
             and application_name = 'sanggwond' and wait_event_type = 'Lock'";
        while self.value::<i64>(waiting).await == 0 {
            // The server gives no sign when a session begins to wait.
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Ends all connections to the database but the test's own.
    pub(crate) async fn hang_up(&self) {
        self.value::<i64>(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and application_name = 'sanggwond'",
        )
        .await;
    }

    /// Changes the database behind the program's back.
    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(self.pool()).await.unwrap();
    }
}
