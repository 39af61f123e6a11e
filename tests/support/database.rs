//! A fresh database for every test.

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use super::server::server;

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A database that is dropped at the end of the test.
pub(crate) struct Database {
    /// Its name.
    pub(crate) name: String,
    /// Its URL.
    pub(crate) url: String,
    /// Connections to it, with the schema in the search path.
    pub(crate) pool: PgPool,
}

impl Database {
    /// Creates an empty database.
    pub(crate) async fn fresh() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sanggwond_test_{}_{number}", std::process::id());
        run(&format!("create database {name}")).await;
        Self::at(name).await
    }

    /// The database that has this name with a suffix. It is not created here, but dropped at the end of the test.
    pub(crate) async fn sibling(&self, suffix: &str) -> Self {
        Self::at(format!("{}{suffix}", self.name)).await
    }

    async fn at(name: String) -> Self {
        let server = server().await;
        let options = server.options.clone().database(&name).options([("search_path", "sanggwond")]);
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options);
        Self { url: server.url(&name), name, pool }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop_it = format!("drop database if exists {} with (force)", self.name);
        // `drop` cannot wait on the runtime of the test. Errors are ignored, because the test may be failing already.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&drop_it));
        });
        dropping.join().ok();
    }
}

/// Executes statements in the default database of the server.
pub(crate) async fn run(sql: &str) {
    let mut connection = PgConnection::connect_with(&server().await.options).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
