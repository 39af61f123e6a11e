//! Opening a run: stations, keywords, its row and its cells in one transaction; and resuming a run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::domain::geo::LatLng;
use crate::domain::inventory::Inventory;
use crate::domain::keyword::StoredKeyword;
use crate::domain::notice::Event;
use crate::domain::run::{Coverage, RequestId, RunId, Scope, Trigger};
use crate::domain::station::{StationId, StationMap, StoredStation};
use crate::store::{Error, Fence, PlannedCell, Store, cells, inventory, notices, places, requests};

/// The values with which a run's row is inserted.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Why it starts.
    pub trigger: Trigger,
    /// The tick that it serves; `None`: none.
    pub scheduled_for: Option<DateTime<Utc>>,
    /// How the area is covered.
    pub coverage: Coverage,
    /// The stations and keywords that it is limited to; `None`: a full run.
    pub scope: Option<Scope>,
    /// The radius around a station, in metres.
    pub radius_m: u32,
    /// The pause between two pages of a cell.
    pub page_delay: Duration,
    /// The other settings, without secrets.
    pub settings: serde_json::Value,
    /// What it retires, in the form of `crawl_run.retired`; `None`: nothing.
    pub retired: Option<serde_json::Value>,
    /// Stations and keywords that left the configuration but are crawled, as a sentence.
    pub retirement_held_back: Option<String>,
    /// The request that it answers.
    pub request: Option<RequestId>,
    /// Why it could not be opened earlier, and from when to when.
    pub late_because: Option<String>,
    /// Where it runs.
    pub host: String,
}

/// The stations, keywords and settings with which a run was opened.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// All stored stations.
    pub stations: Vec<StoredStation>,
    /// All stored keywords.
    pub keywords: Vec<StoredKeyword>,
    /// How the area is covered.
    pub coverage: Coverage,
    /// What it is limited to.
    pub scope: Scope,
    /// The radius around a station, in metres.
    pub radius_m: u32,
    /// The pause between two pages of a cell.
    pub page_delay: Duration,
    /// Stations and keywords that left the configuration but are crawled, as a sentence.
    pub retirement_held_back: Option<String>,
}

/// A transaction that opens a run. It is rolled back unless [`Opening::insert`] is called.
#[derive(Debug)]
pub struct Opening {
    transaction: Transaction<'static, Postgres>,
    generation: u64,
    /// The stations in use.
    pub stations: Vec<StoredStation>,
    /// The keywords in use.
    pub keywords: Vec<StoredKeyword>,
}

impl Store {
    /// Begins to open a run: stores the stations and keywords of its inventory, and recomputes the listings if these or the
    /// radius changed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_run(&self, wanted: &Inventory, now: DateTime<Utc>) -> Result<Opening, Error> {
        let Inventory { stations, keywords, radius_m } = wanted;
        let radius_m = *radius_m;
        let generation = self.generation();
        let mut transaction = self.pool.begin().await?;
        let shift = inventory::sync_stations(&mut transaction, stations, now).await?;
        let has_other_keywords = inventory::sync_keywords(&mut transaction, keywords, now).await?;
        let has_other_radius = listed_radius_m(&mut transaction).await? != i32::try_from(radius_m).ok();
        let mut stations = inventory::stations(&mut transaction).await?;
        stations.retain(|station| !station.is_retired);
        if shift.has_new || !shift.stale.is_empty() || has_other_keywords || has_other_radius {
            let map = StationMap::new(positions(&stations), radius_m);
            places::relist(&mut transaction, &map, &shift.stale).await?;
        }
        let mut keywords = inventory::keywords(&mut transaction).await?;
        keywords.retain(|keyword| !keyword.is_retired);
        Ok(Opening { transaction, generation, stations, keywords })
    }

    /// Resumes an unfinished run; the process that held it before can no longer write. If the listings have been recomputed
    /// with another radius since, a full run recomputes them with its own.
    ///
    /// # Errors
    /// When the run is finished ([`Error::Superseded`]), another run is at work, or the database fails.
    pub async fn resume_run(&self, run: RunId, host: &str, now: DateTime<Utc>) -> Result<Fence, Error> {
        let generation = self.generation();
        let mut transaction = self.pool.begin().await?;
        let listed_radius_m = listed_radius_m(&mut transaction).await?;
        let resumed = sqlx::query!(
            "update crawl_run set status = 'running', reason = null, resume_at = null, finished_at = null,
                 paused_since = null, paused_until = null, pause_reason = null,
                 heartbeat_at = $2, resumed_count = resumed_count + 1, stalled_count = stalled_count + 1, version = $3,
                 host = $4
             where crawl_run_id = $1 and (status = 'interrupted' or (status = 'failed' and resume_at is not null))
             returning resumed_count, case when scope is null then radius_m end as radius_m",
            run.0,
            now,
            env!("CARGO_PKG_VERSION"),
            host
        )
        .fetch_optional(&mut *transaction)
        .await?
        .ok_or(Error::Superseded(run))?;
        // A newer run that is unfinished loses the stamp of what both find, so it must not take that for missing.
        sqlx::query!(
            "update crawl_cell cell set complete = false from crawl_run newer
             where newer.crawl_run_id = cell.crawl_run_id and newer.crawl_run_id > $1
             and newer.status in ('interrupted', 'failed') and cell.complete",
            run.0
        )
        .execute(&mut *transaction)
        .await?;
        if let Some(radius_m) = resumed.radius_m.filter(|_| resumed.radius_m != listed_radius_m) {
            let mut stations = inventory::stations(&mut transaction).await?;
            stations.retain(|station| !station.is_retired);
            let map = StationMap::new(positions(&stations), radius_m.unsigned_abs());
            places::relist(&mut transaction, &map, &[]).await?;
        }
        transaction.commit().await?;
        Ok(Fence { run, resumed_count: resumed.resumed_count, generation })
    }

    /// The stations, keywords and settings with which a run was opened.
    ///
    /// # Errors
    /// When the database fails, or holds a value that this version does not know.
    pub async fn plan_of(&self, run: RunId) -> Result<RunPlan, Error> {
        let mut connection = self.pool.acquire().await?;
        let row = sqlx::query!(
            r#"select radius_m, page_delay_ms, coverage, scope as "scope: Json<Scope>", retirement_held_back
             from crawl_run where crawl_run_id = $1"#,
            run.0
        )
        .fetch_one(&mut *connection)
        .await?;
        let unknown = |column, value: &str| Error::Unknown { table: "crawl_run", column, value: value.to_owned() };
        Ok(RunPlan {
            stations: inventory::stations(&mut connection).await?,
            keywords: inventory::keywords(&mut connection).await?,
            coverage: row.coverage.parse().map_err(|()| unknown("coverage", &row.coverage))?,
            scope: row.scope.map(|scope| scope.0).unwrap_or_default(),
            radius_m: row.radius_m.ok_or_else(|| unknown("radius_m", "null"))?.unsigned_abs(),
            page_delay: milliseconds(row.page_delay_ms.ok_or_else(|| unknown("page_delay_ms", "null"))?),
            retirement_held_back: row.retirement_held_back,
        })
    }

    /// Abandons unfinished partial-scope runs that were planned with another radius than that of the listings: their places
    /// would be listed with the wrong radius.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn abandon_outdated_parts(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let mut connection = self.pool.acquire().await?;
        let Some(radius_m) = listed_radius_m(&mut connection).await? else { return Ok(()) };
        let outdated = sqlx::query_scalar!(
            "select crawl_run_id from crawl_run
             where status = 'interrupted' and scope is not null and radius_m <> $1",
            radius_m
        )
        .fetch_all(&mut *connection)
        .await?;
        drop(connection);
        for run in outdated {
            let reason = format!("planned with another radius than the {radius_m} m of the last full run");
            self.abandon_run(RunId(run), &reason, now).await?;
        }
        Ok(())
    }
}

impl Opening {
    /// Writes the run's row and all its cells, and ends the transaction.
    ///
    /// # Errors
    /// When another run is at work, the tick has a row already, its request is answered already, or the database fails.
    pub async fn insert(mut self, run: &NewRun, cells: &[PlannedCell], now: DateTime<Utc>) -> Result<Fence, Error> {
        let radius_m = i32::try_from(run.radius_m).unwrap_or(i32::MAX);
        let id = sqlx::query_scalar!(
            "insert into crawl_run (trigger, scheduled_for, status, coverage, scope, started_at, heartbeat_at, cells_total,
                 radius_m, page_delay_ms, settings, version, host, retired, retirement_held_back, late_because)
             values ($1, $2, 'running', $3, $4, $5, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) returning crawl_run_id",
            run.trigger.as_str(),
            run.scheduled_for,
            run.coverage.as_str(),
            run.scope.as_ref().map(Json) as Option<Json<&Scope>>,
            now,
            i32::try_from(cells.len()).unwrap_or(i32::MAX),
            radius_m,
            i32::try_from(run.page_delay.as_millis()).unwrap_or(i32::MAX),
            run.settings,
            env!("CARGO_PKG_VERSION"),
            run.host,
            run.retired,
            run.retirement_held_back,
            run.late_because
        )
        .fetch_one(&mut *self.transaction)
        .await?;
        cells::insert(&mut self.transaction, RunId(id), 1, Some(radius_m), cells).await?;
        if let Some(request) = run.request {
            requests::answer(&mut self.transaction, request, RunId(id)).await?;
        }
        notices::note(&mut self.transaction, RunId(id), Some(Event::Started), now).await?;
        self.transaction.commit().await?;
        Ok(Fence { run: RunId(id), resumed_count: 0, generation: self.generation })
    }
}

/// The radius of the listings: that of the run that was last worked on. A partial-scope run keeps the radius of the listings.
pub(in crate::store) async fn listed_radius_m(connection: &mut PgConnection) -> Result<Option<i32>, Error> {
    let radius_m = sqlx::query_scalar!(
        "select radius_m from crawl_run where radius_m is not null
         order by heartbeat_at desc, crawl_run_id desc limit 1"
    )
    .fetch_optional(connection)
    .await?;
    Ok(radius_m.flatten())
}

fn milliseconds(count: i32) -> Duration {
    Duration::from_millis(count.unsigned_abs().into())
}

fn positions(stations: &[StoredStation]) -> Vec<(StationId, LatLng)> {
    stations.iter().map(|stored| (stored.id, stored.station.position)).collect()
}
