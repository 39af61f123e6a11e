//! One transaction of a run, with what every statement in it needs.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Postgres, Transaction};

use super::{Error, Fence, Store};
use crate::domain::run::RunId;
use crate::domain::station::StationMap;

/// A transaction that writes results of a run. Unless it is committed, nothing is written.
pub(super) struct Batch<'a> {
    pub(super) transaction: Transaction<'static, Postgres>,
    pub(super) run: RunId,
    /// The stations in use, and the radius.
    pub(super) stations: &'a StationMap,
    pub(super) now: DateTime<Utc>,
    /// Whether new matches are not stored, because the canaries of the run found that they cannot be trusted.
    pub(super) are_openings_held: bool,
}

impl Store {
    /// Begins a transaction of a run and locks the row of the run.
    ///
    /// # Errors
    /// When another process has taken over the run ([`Error::Superseded`]), another primary has been promoted, or the database
    /// fails.
    pub(super) async fn batch<'a>(
        &self,
        fence: Fence,
        stations: &'a StationMap,
        now: DateTime<Utc>,
    ) -> Result<Batch<'a>, Error> {
        let mut transaction = self.pool.begin().await?;
        // The new primary may lack the last rows of the run, so a batch that continues them must not be written there.
        if self.generation() != fence.generation {
            return Err(Error::replaced());
        }
        let are_openings_held = hold(&mut transaction, fence).await?;
        Ok(Batch { transaction, run: fence.run, stations, now, are_openings_held })
    }
}

impl Batch<'_> {
    /// The radius around the stations in metres, as the database stores it.
    pub(super) fn radius_m(&self) -> i32 {
        i32::try_from(self.stations.radius_m()).unwrap_or(i32::MAX)
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        Ok(self.transaction.commit().await?)
    }
}

/// Locks the row of a run, unless another process has taken over the run. Returns whether its new matches are not stored.
async fn hold(connection: &mut PgConnection, fence: Fence) -> Result<bool, Error> {
    sqlx::query_scalar!(
        r#"select coalesce(canaries @? '$.findings[*] ? (@.consequence == "no_openings")', false) as "held!" from crawl_run
         where crawl_run_id = $1 and status = 'running' and resumed_count = $2 for no key update"#,
        fence.run.0,
        fence.resumed_count
    )
    .fetch_optional(connection)
    .await?
    .ok_or(Error::Superseded(fence.run))
}
