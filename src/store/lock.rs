//! The lock under which a run works: one process at a time, however many share the database.

use std::time::Duration;

use sqlx::{Connection, Executor, PgConnection};

use super::{Error, Store};

/// The key of the advisory lock: the letters `sanggwon`.
const KEY: i64 = 0x7361_6e67_6777_6f6e;

/// How often the lock's connection is used.
const PING: Duration = Duration::from_secs(2);

/// How long an answer to that may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The right to run, bound to a connection of its own.
///
/// The server ends a session that is silent for eight seconds, so the lock of a machine that lost power, or of a
/// process that was stopped, is free after seconds.
#[derive(Debug)]
pub struct RunLock {
    connection: PgConnection,
}

impl Store {
    /// Takes the lock; `None` where another process has it.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn try_lock(&self) -> Result<Option<RunLock>, Error> {
        let mut connection = self.target.patient().connect().await?;
        connection.execute("set idle_session_timeout = '8s'").await?;
        let is_ours = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "is_ours!""#, KEY)
            .fetch_one(&mut connection)
            .await?;
        if is_ours {
            return Ok(Some(RunLock { connection }));
        }
        connection.close().await?;
        Ok(None)
    }
}

impl RunLock {
    /// Keeps the lock until it is lost, and returns why; each time that it is still there, `kept` is called.
    pub async fn keep(&mut self, kept: impl Fn()) -> Error {
        loop {
            tokio::time::sleep(PING).await;
            match tokio::time::timeout(PATIENCE, self.connection.ping()).await {
                Ok(Ok(())) => kept(),
                Ok(Err(error)) => return error.into(),
                Err(_) => return Error::Silent(PATIENCE),
            }
        }
    }

    /// Gives the lock back.
    pub async fn release(mut self) {
        let releasing = async {
            // The server ends a closed session a little later; whoever comes next need not wait for that.
            sqlx::query_scalar!("select pg_advisory_unlock($1)", KEY).fetch_one(&mut self.connection).await?;
            self.connection.close().await
        };
        // A connection that does not answer is gone, and its lock with it.
        tokio::time::timeout(PATIENCE, releasing).await.ok();
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}
