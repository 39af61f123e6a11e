//! Connections to the database: their target, their number, and the checks that each must pass.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};
use tokio::time::Instant;

use super::hosts::{Hosts, Watch};
use super::purpose::{self, Purpose};
use super::session::{self, Server, enter, greet};
use super::{Error, Store, owners, url};

/// One connection for the writer, and one for everything else.
const POOLED: u32 = 2;

/// Maximum number of connections of a process: the pool, and one for the run lock.
const WANTED: u32 = POOLED + 1;

/// Minimum number of connections: one for everything, and one for the run lock.
const NEEDED: u32 = 2;

/// Time limit for the second connection, which is only needed to detect a pooler.
const SECOND_LOOK: Duration = Duration::from_secs(3);

/// How long a server may take to answer on a connection that does nothing.
const PING_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which database, without its secrets in the debug output.
#[derive(Clone)]
pub struct Target {
    hosts: Arc<Hosts>,
    purpose: Purpose,
    /// The role besides our own to which the tables may belong.
    owner: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("database", &self.database()).field("address", &self.address()).finish()
    }
}

impl Target {
    /// Reads the PostgreSQL URL of a database with real places.
    ///
    /// # Errors
    /// When it is not a valid URL, or has a parameter that is not supported.
    pub fn parse(url: &SecretString) -> Result<Self, Error> {
        let hosts = url::parse(url.expose_secret()).map_err(Error::Url)?;
        Ok(Self { hosts: Arc::new(hosts.map(prepared)), purpose: Purpose::Real, owner: None })
    }

    pub(super) fn new(options: PgConnectOptions) -> Self {
        Self { hosts: Arc::new(Hosts::one(prepared(options))), purpose: Purpose::Real, owner: None }
    }

    /// The same, whose tables may belong to this role.
    #[must_use]
    pub fn owned_by(self, owner: Option<String>) -> Self {
        Self { owner, ..self }
    }

    /// The database of the demo world on the same server.
    ///
    /// # Errors
    /// When its name would be the one of the real database.
    pub fn demo(&self) -> Result<Self, Error> {
        let name = purpose::demo_name(self.database())?;
        Ok(Self { purpose: Purpose::Demo, ..self.sibling(&name) })
    }

    pub(super) fn owner(&self) -> Option<&str> {
        self.owner.as_deref()
    }

    /// What the database is for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The name of the database; without one, PostgreSQL takes the name of the user.
    #[must_use]
    pub fn database(&self) -> &str {
        let options = self.hosts.options();
        options.get_database().unwrap_or_else(|| options.get_username())
    }

    /// The role of the connections.
    #[must_use]
    pub fn role(&self) -> &str {
        self.hosts.options().get_username()
    }

    /// Host and port, or the folder of the socket, of each of its servers.
    #[must_use]
    pub fn address(&self) -> String {
        self.hosts.address()
    }

    /// Number of connections that watch which server is the primary.
    fn watching(&self) -> u32 {
        u32::from(self.hosts.are_several())
    }

    /// How many connections are made, of at most so many.
    fn made(&self, limit: u32) -> String {
        let watching = self.watching();
        let daemon = limit.min(WANTED + watching);
        format!("a daemon or a crawl makes {daemon}, another command {} or {}", 1 + watching, 2 + watching)
    }

    pub(super) fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// The database of this name on the same server.
    fn sibling(&self, database: &str) -> Self {
        Self { hosts: Arc::new(self.hosts.map(|options| options.database(database))), ..self.clone() }
    }

    /// Creates this database on its server unless it exists.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub async fn create(&self) -> Result<(), Error> {
        if let Ok(connection) = self.connect().await {
            return Ok(connection.close().await?);
        }
        let mut connection = self.sibling("postgres").connect().await?;
        // An identifier cannot be a parameter; PostgreSQL itself quotes it. Where the template has another encoding, the
        // locale C goes with every one.
        let create = sqlx::query_scalar!(
            r#"select format('create database %I', $1::text) || case when current_setting('server_encoding') <> 'UTF8'
                 then ' encoding ''UTF8'' locale ''C'' template template0' else '' end as "sql!""#,
            self.database()
        )
        .fetch_one(&mut connection)
        .await?;
        match sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await {
            // Another process was faster, or is as fast as we are: then the catalog itself refuses the second row.
            Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P04" | "23505")) => {}
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42501") => {
                return Err(Error::MayNotCreateDatabase(self.database().to_owned()));
            }
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        Ok(connection.close().await?)
    }

    /// Whether a pooler in transaction mode is in front of the database. If no second connection can be made, this cannot be
    /// determined, and the answer is `false`.
    async fn is_pooled(&self, first: &mut PgConnection) -> Result<bool, Error> {
        let Ok(Ok(mut second)) = tokio::time::timeout(SECOND_LOOK, self.connect()).await else { return Ok(false) };
        let is_pooled = session::are_pooled(first, &mut second).await?;
        second.close().await?;
        Ok(is_pooled)
    }

    /// One connection outside the pool that may use our schema.
    pub(super) async fn open(&self) -> Result<PgConnection, Error> {
        let mut connection = self.connect().await?;
        self.let_in(&mut connection).await?;
        Ok(connection)
    }

    /// Checks the owners and the purpose of our schema, and then lets a connection use it.
    async fn let_in(&self, connection: &mut PgConnection) -> Result<(), Error> {
        owners::verify(connection, self).await?;
        enter(connection).await?;
        purpose::check(connection, self).await.map(drop)
    }

    /// One connection outside the pool that does not use our schema yet.
    async fn connect(&self) -> Result<PgConnection, Error> {
        let connecting = tokio::time::timeout(CONNECT_TIMEOUT, self.hosts.connect());
        connecting.await.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into())).map_err(|cause| Error::Unreachable {
            database: self.database().to_owned(),
            address: self.address(),
            cause,
        })
    }
}

impl Store {
    /// Makes a first connection, so that a failure shows the server's message; checks the database; and creates the pool.
    ///
    /// # Errors
    /// When the database cannot be reached, is not encoded in UTF-8, is behind a pooler in transaction mode, contains objects
    /// of a role that is not trusted, or is for another purpose.
    pub async fn connect(target: &Target) -> Result<Self, Error> {
        let mut first = target.connect().await?;
        let Server { encoding, connection_limit, is_superuser } = Server::of(&mut first).await?;
        if encoding != "UTF8" {
            return Err(Error::Encoding { database: target.database().to_owned(), encoding });
        }
        if target.is_pooled(&mut first).await? {
            return Err(Error::Pooled);
        }
        target.let_in(&mut first).await?;
        first.close().await?;
        let others = 1 + target.watching();
        let pooled = connection_limit.map_or(POOLED, |limit| limit.saturating_sub(others).clamp(1, POOLED));
        let pool = lazy_pool(target, pooled);
        let watch = target.hosts.are_several().then(|| Arc::new(Watch::start(Arc::clone(&target.hosts))));
        Ok(Self { pool, target: target.clone(), connection_limit, is_superuser, watch })
    }

    /// The same database through one connection of its own, which is opened when it is first needed. What uses it does not delay
    /// the run, which waits for the other connections.
    #[must_use]
    pub fn apart(&self) -> Self {
        let pool = lazy_pool(&self.target, 1);
        Self { pool, target: self.target.clone(), watch: self.watch.clone(), ..*self }
    }

    /// A number that changes when another primary has been promoted.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.target.hosts.generation()
    }

    /// Repeats the checks of the owners and the purpose of our schema, because a pooler may use another database by now.
    ///
    /// # Errors
    /// When a check or the database fails.
    pub async fn verify(&self) -> Result<(), Error> {
        self.target.let_in(&mut *self.pool.acquire().await?).await
    }

    /// Whether the connections have all rights on the server.
    #[must_use]
    pub fn is_superuser(&self) -> bool {
        self.is_superuser
    }

    /// The database that is used.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// A sentence with the number of connections that a process makes, and the limit of its role.
    ///
    /// # Errors
    /// When the limit is too low.
    pub fn connections(&self) -> Result<String, Error> {
        match self.connection_limit {
            Some(limit) if limit < NEEDED + self.target.watching() => Err(Error::TooFewConnections {
                limit,
                needed: NEEDED + self.target.watching(),
                wanted: WANTED + self.target.watching(),
            }),
            Some(limit) => Ok(format!("{}; the role may have {limit} in all", self.target.made(limit))),
            None => Ok(self.target.made(u32::MAX)),
        }
    }

    /// Replaces the pool's "timed out" with the server's message about a new connection.
    pub async fn explain(&self, error: Error) -> Error {
        if !matches!(&error, Error::Statement(cause) if cause.is_wait_for_connection()) {
            return error;
        }
        match self.target.connect().await {
            Err(explained) => explained,
            Ok(connection) => {
                // The lack of connections is over.
                connection.close().await.ok();
                error
            }
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether a session answers.
async fn ping(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    tokio::time::timeout(PING_TIMEOUT, connection.ping()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Options with what every session begins with.
fn prepared(options: PgConnectOptions) -> PgConnectOptions {
    let name = options.get_application_name().unwrap_or("sanggwond").to_owned();
    // PgBouncer refuses a connection that begins with extra_float_digits; the greeting sets it.
    options.application_name(&name).extra_float_digits(None).disable_statement_logging()
}

/// A pool that opens its connections when they are needed.
fn lazy_pool(target: &Target, connections: u32) -> PgPool {
    // A statement that was given up may never be answered: by a server that has lost its network, or whose standby is gone. The
    // pool would wait for it without end, and have no connection left.
    let options = PgPoolOptions::new().max_connections(connections).acquire_timeout(CONNECT_TIMEOUT);
    let options = options.after_release(|connection, _| Box::pin(async move { ping(connection).await.map(|()| true) }));
    let hosts = Arc::clone(&target.hosts);
    let options = options.after_connect(move |connection, _| {
        let hosts = Arc::clone(&hosts);
        Box::pin(async move {
            greet(connection).await?;
            hosts.check(connection).await?;
            enter(connection).await
        })
    });
    if !target.hosts.are_several() {
        return options.connect_lazy_with(target.hosts.options().clone());
    }
    let hosts = Arc::clone(&target.hosts);
    let options = options.test_before_acquire(false).before_acquire(move |connection, state| {
        let is_outdated = Instant::now().checked_sub(state.age).is_some_and(|made| hosts.has_moved_since(made));
        Box::pin(async move {
            if is_outdated {
                return Ok(false);
            }
            ping(connection).await.map(|()| true)
        })
    });
    let pool = options.connect_lazy_with(target.hosts.options().clone());
    target.hosts.add(&pool);
    pool
}
