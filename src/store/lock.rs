//! The run lock: a PostgreSQL advisory lock. Only the process that holds it may work on the runs of a database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};

use super::hosts::Hosts;
use super::{Error, Store};

/// The key of the advisory lock: the eight ASCII letters of `sanggwon`.
const KEY: i64 = 0x7361_6e67_6777_6f6e;

/// Interval between two pings on the connection of the lock.
const PING: Duration = Duration::from_secs(2);

/// Time limit of a ping, and of releasing the lock.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The run lock, with the database session that it belongs to.
///
/// PostgreSQL ends this session after 8 s without a statement. If the machine loses power, or the process is suspended, the
/// pings stop, and the lock is free at most 8 s after the last one.
#[derive(Debug)]
pub struct RunLock {
    connection: PgConnection,
    hosts: Arc<Hosts>,
    /// That of the servers when it was taken.
    generation: u64,
}

/// The database session that holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Process id of the PostgreSQL backend that serves it.
    pub pid: i32,
    /// Its role.
    pub role: String,
    /// Address of its client; only superusers and members of `pg_read_all_stats` see that of other roles.
    pub address: String,
    /// `application_name` of its client.
    pub application: String,
}

impl fmt::Display for LockHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, role, address, application } = self;
        write!(f, "PostgreSQL backend {pid} (role {role}, client address {address}, application {application:?})")
    }
}

impl Store {
    /// The session that holds the lock; `None` if it is free.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock_holder(&self) -> Result<Option<LockHolder>, Error> {
        Ok(sqlx::query_as!(
            LockHolder,
            r#"select l.pid as "pid!", coalesce(quote_ident(a.usename), 'unknown') as "role!",
                 coalesce(host(a.client_addr), case when a.client_port = -1 then 'unix socket' else 'hidden' end)
                     as "address!",
                 coalesce(a.application_name, '') as "application!"
             from pg_locks l left join pg_stat_activity a using (pid)
             where l.locktype = 'advisory' and l.granted and l.objsubid = 1
             and l.database = (select oid from pg_database where datname = current_database())
             and (l.classid::bigint << 32 | l.objid::bigint) = $1
             order by l.pid
             limit 1"#,
            KEY
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Takes the lock; `None` if another process holds it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn try_lock(&self) -> Result<Option<RunLock>, Error> {
        let hosts = self.target.hosts();
        let (mut generation, mut connection) = (hosts.generation(), self.target.open().await?);
        if hosts.generation() != generation {
            // The session may belong to the primary before.
            (generation, connection) = (hosts.generation(), self.target.open().await?);
        }
        connection.execute("set idle_session_timeout = '8s'").await?;
        let is_ours = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "is_ours!""#, KEY)
            .fetch_one(&mut connection)
            .await?;
        if is_ours {
            return Ok(Some(RunLock { connection, hosts: Arc::clone(hosts), generation }));
        }
        connection.close().await?;
        Ok(None)
    }
}

impl RunLock {
    /// Pings the connection until the lock is lost, and returns why. `kept` is called after each successful ping.
    pub async fn keep(&mut self, kept: impl Fn()) -> Error {
        loop {
            tokio::time::sleep(PING).await;
            let answer = tokio::time::timeout(TIMEOUT, self.connection.ping()).await;
            if self.hosts.generation() != self.generation {
                // The server that was the primary may still answer; its lock does not count any more.
                return Error::replaced();
            }
            match answer {
                Ok(Ok(())) => kept(),
                Ok(Err(error)) => return error.into(),
                Err(_) => return Error::Silent(TIMEOUT),
            }
        }
    }

    /// Releases the lock.
    pub async fn release(mut self) {
        let releasing = async {
            // PostgreSQL notices a closed connection only after a moment. The explicit unlock frees the lock at once.
            sqlx::query_scalar!("select pg_advisory_unlock($1)", KEY).fetch_one(&mut self.connection).await?;
            self.connection.close().await
        };
        // If the database does not answer in time, PostgreSQL ends the session after 8 s and thereby frees the lock.
        tokio::time::timeout(TIMEOUT, releasing).await.ok();
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
