//! Opening a run: ground, row and ledger in one transaction; and taking up a run again.

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::domain::geo::LatLng;
use crate::domain::keyword::Keyword;
use crate::domain::run::{Coverage, RunId, Scope, Trigger};
use crate::domain::station::{Station, StationId, StationMap, StoredStation};
use crate::store::ground::{self, StoredKeyword};
use crate::store::{Error, Fence, PlannedCell, Store, cells, places};

/// The first words of a run's row.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// What made it start.
    pub trigger: Trigger,
    /// The tick that it serves.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// How the ground is covered.
    pub coverage: Coverage,
    /// What it is limited to.
    pub scope: Option<Scope>,
    /// The radius around a station, in metres.
    pub radius_m: u32,
    /// What it works with, without secrets.
    pub settings: serde_json::Value,
    /// Where it runs.
    pub host: String,
}

/// What a run was opened with.
#[derive(Clone, Debug)]
pub struct RunGround {
    /// All stored stations.
    pub stations: Vec<StoredStation>,
    /// All stored keywords.
    pub keywords: Vec<StoredKeyword>,
    /// How the ground is covered.
    pub coverage: Coverage,
    /// What it is limited to.
    pub scope: Scope,
    /// What it works with.
    pub settings: serde_json::Value,
}

/// A transaction that opens a run; without [`Opening::insert`] nothing has happened.
#[derive(Debug)]
pub struct Opening {
    transaction: Transaction<'static, Postgres>,
    /// The stations in use.
    pub stations: Vec<StoredStation>,
    /// The keywords in use.
    pub keywords: Vec<StoredKeyword>,
}

impl Store {
    /// Begins to open a run: brings stations and keywords in line with what is wanted, and lists known places anew where
    /// that or the radius changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_run(
        &self,
        stations: &[Station],
        keywords: &[Keyword],
        radius_m: u32,
        now: DateTime<Utc>,
    ) -> Result<Opening, Error> {
        let mut transaction = self.pool.begin().await?;
        let shift = ground::sync_stations(&mut transaction, stations, now).await?;
        let has_other_keywords = ground::sync_keywords(&mut transaction, keywords, now).await?;
        let has_other_radius = listed_radius_m(&mut transaction).await? != i32::try_from(radius_m).ok();
        let mut stations = ground::stations(&mut transaction).await?;
        stations.retain(|station| !station.is_retired);
        if shift.has_new || !shift.stale.is_empty() || has_other_keywords || has_other_radius {
            let map = StationMap::new(positions(&stations), radius_m);
            places::relist(&mut transaction, &map, &shift.stale).await?;
        }
        let mut keywords = ground::keywords(&mut transaction).await?;
        keywords.retain(|keyword| !keyword.is_retired);
        Ok(Opening { transaction, stations, keywords })
    }

    /// Takes up an unfinished run; whoever held it before writes nothing more. Where another radius was crawled meanwhile,
    /// known places are listed anew with the run's own.
    ///
    /// # Errors
    /// When the run is finished ([`Error::Superseded`]) or the database fails.
    pub async fn resume_run(&self, run: RunId, host: &str, now: DateTime<Utc>) -> Result<Fence, Error> {
        let mut transaction = self.pool.begin().await?;
        let listed_radius_m = listed_radius_m(&mut transaction).await?;
        let resumed = sqlx::query!(
            "update crawl_run set status = 'running', reason = null, resume_at = null, finished_at = null,
                 heartbeat_at = $2, resumed_count = resumed_count + 1, stalled_count = stalled_count + 1, version = $3,
                 host = $4
             where crawl_run_id = $1 and status in ('interrupted', 'failed')
             returning resumed_count, (settings ->> 'radius_m')::int as radius_m",
            run.0,
            now,
            env!("CARGO_PKG_VERSION"),
            host
        )
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(Error::Superseded(run))?;
        if let Some(radius_m) = resumed.radius_m.filter(|_| resumed.radius_m != listed_radius_m) {
            let mut stations = ground::stations(&mut transaction).await?;
            stations.retain(|station| !station.is_retired);
            let map = StationMap::new(positions(&stations), radius_m.unsigned_abs());
            places::relist(&mut transaction, &map, &[]).await?;
        }
        transaction.commit().await?;
        Ok(Fence { run, resumed_count: resumed.resumed_count })
    }

    /// The ground of a run.
    ///
    /// # Errors
    /// When the database fails, or holds what this version does not know.
    pub async fn ground_of(&self, run: RunId) -> Result<RunGround, Error> {
        let mut connection = self.pool.acquire().await?;
        let row = sqlx::query!(
            r#"select settings, coverage, scope as "scope: Json<Scope>" from crawl_run where crawl_run_id = $1"#,
            run.0
        )
        .fetch_one(&mut *connection)
        .await?;
        let unknown = || Error::Unknown { table: "crawl_run", column: "coverage", value: row.coverage.clone() };
        Ok(RunGround {
            stations: ground::stations(&mut connection).await?,
            keywords: ground::keywords(&mut connection).await?,
            coverage: row.coverage.parse().map_err(|()| unknown())?,
            scope: row.scope.map(|scope| scope.0).unwrap_or_default(),
            settings: row.settings,
        })
    }
}

impl Opening {
    /// Writes the run's row and all its cells, and ends the transaction.
    ///
    /// # Errors
    /// When the tick has a row already or the database fails.
    pub async fn insert(mut self, run: &NewRun, cells: &[PlannedCell], now: DateTime<Utc>) -> Result<Fence, Error> {
        let id = sqlx::query_scalar!(
            "insert into crawl_run (trigger, scheduled_for, status, coverage, scope, started_at, heartbeat_at, cells_total,
                 settings, version, host)
             values ($1, $2, 'running', $3, $4, $5, $5, $6, $7, $8, $9) returning crawl_run_id",
            run.trigger.as_str(),
            run.scheduled_for,
            run.coverage.as_str(),
            run.scope.as_ref().map(Json) as Option<Json<&Scope>>,
            now,
            i32::try_from(cells.len()).unwrap_or(i32::MAX),
            run.settings,
            env!("CARGO_PKG_VERSION"),
            run.host
        )
        .fetch_one(&mut *self.transaction)
        .await?;
        let radius_m = i32::try_from(run.radius_m).unwrap_or(i32::MAX);
        cells::insert(&mut self.transaction, RunId(id), 1, Some(radius_m), cells).await?;
        self.transaction.commit().await?;
        Ok(Fence { run: RunId(id), resumed_count: 0 })
    }
}

/// The radius with which places are listed: that of the run which was last worked on.
async fn listed_radius_m(connection: &mut PgConnection) -> Result<Option<i32>, Error> {
    let radius_m = sqlx::query_scalar!(
        "select (settings ->> 'radius_m')::int as radius_m from crawl_run where settings ? 'radius_m'
         order by heartbeat_at desc, crawl_run_id desc limit 1"
    )
    .fetch_optional(connection)
    .await?;
    Ok(radius_m.flatten())
}

fn positions(stations: &[StoredStation]) -> Vec<(StationId, LatLng)> {
    stations.iter().map(|stored| (stored.id, stored.station.position)).collect()
}
