//! Connections: where they go, and what every one of them is told first.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{Error, Store};

/// The writer, the heartbeat and the commands; a run's lock has a connection of its own.
const MAX_CONNECTIONS: u32 = 4;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which database, without its secrets in the debug output.
#[derive(Clone)]
pub struct Target {
    options: PgConnectOptions,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("database", &self.database()).field("address", &self.address()).finish()
    }
}

impl Target {
    /// Reads a PostgreSQL URL.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(url: &SecretString) -> Result<Self, Error> {
        let url = url.expose_secret();
        // The driver itself takes any scheme.
        let is_ours = url.starts_with("postgres://") || url.starts_with("postgresql://");
        let options = PgConnectOptions::from_str(url).ok().filter(|_| is_ours).ok_or(Error::Url)?;
        Ok(Self::new(options))
    }

    pub(super) fn new(options: PgConnectOptions) -> Self {
        let options = options.application_name("sanggwond").log_statements(log::LevelFilter::Off);
        Self { options }
    }

    /// The name of the database; without one, PostgreSQL takes the name of the user.
    #[must_use]
    pub fn database(&self) -> &str {
        self.options.get_database().unwrap_or_else(|| self.options.get_username())
    }

    /// Host and port, or the folder of the socket.
    #[must_use]
    pub fn address(&self) -> String {
        match self.options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => format!("{}:{}", self.options.get_host(), self.options.get_port()),
        }
    }

    /// The database of this name on the same server.
    #[must_use]
    pub fn sibling(&self, database: &str) -> Self {
        Self { options: self.options.clone().database(database) }
    }

    /// The same for statements that may take long.
    pub(super) fn patient(&self) -> Self {
        Self { options: self.options.clone().log_slow_statements(log::LevelFilter::Off, Duration::ZERO) }
    }

    /// Creates this database on its server unless it exists.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create(&self) -> Result<(), Error> {
        if PgConnection::connect_with(&self.options).await.is_ok() {
            return Ok(());
        }
        let maintenance = self.sibling("postgres");
        let mut connection = maintenance.connect().await?;
        // An identifier cannot be a parameter; PostgreSQL itself quotes it.
        let create = sqlx::query_scalar!(r#"select format('create database %I', $1::text) as "sql!""#, self.database())
            .fetch_one(&mut connection)
            .await?;
        match sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await {
            // Another process was faster.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P04") => {}
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        Ok(connection.close().await?)
    }

    /// One connection outside the pool.
    pub(super) async fn connect(&self) -> Result<PgConnection, Error> {
        let unreachable = |error: sqlx::Error| Error::Unreachable {
            database: self.database().to_owned(),
            address: self.address(),
            cause: error.into(),
        };
        let connecting = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            greet(&mut connection).await?;
            Ok(connection)
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(result) => result.map_err(unreachable),
            Err(_) => Err(unreachable(sqlx::Error::PoolTimedOut)),
        }
    }
}

impl Store {
    /// Makes a first connection, so that a failure is told in the server's words, and prepares the pool.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(target: &Target) -> Result<Self, Error> {
        target.connect().await?.close().await?;
        let pool = PgPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(CONNECT_TIMEOUT)
            .after_connect(|connection, _| Box::pin(greet(connection)))
            .connect_lazy_with(target.options.clone());
        Ok(Self { pool, target: target.clone() })
    }

    /// Where the data goes.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Sets what every session needs. Statements have a time limit because a half-open connection never answers. A
/// transaction that is silent for eight seconds, as the lock's session, belongs to a process that was stopped: its locks
/// must not keep the next one from going on with the run.
async fn greet(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let limits = "select set_config('search_path', 'sanggwond', false), set_config('statement_timeout', '60s', false),
        set_config('lock_timeout', '10s', false), set_config('idle_in_transaction_session_timeout', '8s', false)";
    sqlx::raw_sql(limits).execute(connection).await.map(drop)
}
