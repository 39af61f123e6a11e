//! The table `daemon`: one row per running daemon.
//!
//! Whether a daemon is alive is decided by the clock of the database alone (`seen_at`): the clocks of two machines may disagree.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Error, Store};

/// A daemon whose row is older than this is not alive. It updates its row every 30 s; two updates may be missed.
pub const SILENT_AFTER: Duration = Duration::from_secs(90);

/// The row of a daemon is deleted after this long without a heartbeat.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// The key of a daemon's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaemonId(i64);

impl Store {
    /// Inserts the row of a starting daemon, and deletes the rows of daemons without a heartbeat for a day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn register_daemon(&self, host: &str, now: DateTime<Utc>) -> Result<DaemonId, Error> {
        sqlx::query!(
            "delete from daemon where seen_at < clock_timestamp() - $1::float8 * interval '1 second'",
            FORGOTTEN_AFTER.as_secs_f64()
        )
        .execute(&self.pool)
        .await?;
        let id = sqlx::query_scalar!(
            "insert into daemon (host, version, started_at, heartbeat_at) values ($1, $2, $3, $3) returning daemon_id",
            host,
            env!("CARGO_PKG_VERSION"),
            now
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(DaemonId(id))
    }

    /// Updates the heartbeat; `false` if the row is gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn beat(
        &self,
        id: DaemonId,
        next_tick: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let done = sqlx::query!(
            "update daemon set heartbeat_at = $2, next_tick = $3, seen_at = clock_timestamp() where daemon_id = $1",
            id.0,
            now,
            next_tick
        )
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Deletes the row of a stopping daemon.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn deregister_daemon(&self, id: DaemonId) -> Result<(), Error> {
        sqlx::query!("delete from daemon where daemon_id = $1", id.0).execute(&self.pool).await?;
        Ok(())
    }

    /// The number of daemons that are alive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn daemons_alive(&self) -> Result<i64, Error> {
        let alive = sqlx::query_scalar!(
            r#"select count(*) as "alive!" from daemon
             where seen_at > clock_timestamp() - $1::float8 * interval '1 second'"#,
            SILENT_AFTER.as_secs_f64()
        );
        Ok(alive.fetch_one(&self.pool).await?)
    }

    /// The clock of the database, to be compared with the local one; it is never stored.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn clock(&self) -> Result<DateTime<Utc>, Error> {
        Ok(sqlx::query_scalar!(r#"select clock_timestamp() as "clock!""#).fetch_one(&self.pool).await?)
    }

    /// The latest of the clocks of the database and of all daemons that are alive.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_clock(&self) -> Result<DateTime<Utc>, Error> {
        let latest = sqlx::query_scalar!(
            r#"select greatest(clock_timestamp(), max(heartbeat_at)) as "latest!" from daemon
             where seen_at > clock_timestamp() - $1::float8 * interval '1 second'"#,
            SILENT_AFTER.as_secs_f64()
        );
        Ok(latest.fetch_one(&self.pool).await?)
    }

    /// For how many seconds the daemon on `host` has been silent; `None` if there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn silence_s(&self, host: &str) -> Result<Option<f64>, Error> {
        let silence = sqlx::query_scalar!(
            "select extract(epoch from clock_timestamp() - max(seen_at))::float8 from daemon where host = $1",
            host
        );
        Ok(silence.fetch_one(&self.pool).await?)
    }
}
