//! Finishing a run: its final status and its findings, in one transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::cell::CellNo;
use crate::domain::run::{RunId, Status, pause_before_resuming};
use crate::domain::station::StationMap;
use crate::store::batch::Batch;
use crate::store::coverage::{self, StationCoverage};
use crate::store::misses::{self, Miss, Missed};
use crate::store::{Error, Fence, Store, cells, doubts, notices, places};

/// The end of a run as its row records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunEnd {
    /// The new status.
    pub status: Status,
    /// Why, as a sentence.
    pub reason: Option<String>,
    /// When it may be resumed.
    pub resume_at: Option<DateTime<Utc>>,
}

/// What the review of a run found, once all its cells were read.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The stations in use, and the radius.
    pub stations: StationMap,
    /// How its stations are covered; what was held back is left out.
    pub coverage: Vec<StationCoverage>,
    /// Cells that are not complete after all, each with the number of places that it did not return.
    pub doubted: Vec<(CellNo, i32)>,
    /// Matches that were missed and are kept.
    pub missed: Vec<Miss>,
    /// Matches that were missed too often and are dropped.
    pub gone: Vec<Miss>,
    /// What was held back, as sentences: the run is partial even if every cell is done.
    pub held_back: Vec<String>,
}

impl Findings {
    /// No findings, around these stations.
    #[must_use]
    pub fn none(stations: StationMap) -> Self {
        Self {
            stations,
            coverage: Vec::new(),
            doubted: Vec::new(),
            missed: Vec::new(),
            gone: Vec::new(),
            held_back: Vec::new(),
        }
    }
}

impl Store {
    /// Finishes or interrupts a run, writes its findings, and notifies the listeners on the channel `sanggwond_run`. If the
    /// answer of the database was lost, it can be repeated with the same `now`. No run ends before it began, even if its last
    /// process has a slower clock.
    ///
    /// # Errors
    /// When another process has taken over the run or the database fails.
    pub async fn finish_run(
        &self,
        fence: Fence,
        end: &RunEnd,
        findings: Option<&Findings>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let closed = sqlx::query!(
            "update crawl_run set status = $3, reason = $4, resume_at = $5, heartbeat_at = $6,
                 finished_at = case when $3 <> 'interrupted' then greatest($6, started_at) end,
                 paused_since = null, paused_until = null, pause_reason = null,
                 places_seen = (select count(distinct place_id) from place_keyword where last_seen_run = $1)
             where crawl_run_id = $1 and resumed_count = $2 and status = 'running'",
            fence.run.0,
            fence.resumed_count,
            end.status.as_str(),
            end.reason,
            end.resume_at,
            now
        )
        .execute(&mut *transaction)
        .await?;
        if closed.rows_affected() == 0 {
            return was_finished(&mut transaction, fence, end, now).await;
        }
        if let Some(findings) = findings {
            // The new primary may lack the last cells of the run.
            if self.generation() != fence.generation {
                return Err(Error::replaced());
            }
            let mut batch =
                Batch { transaction, run: fence.run, stations: &findings.stations, now, are_openings_held: false };
            write(&mut batch, findings).await?;
            transaction = batch.transaction;
        }
        if !end.status.is_unfinished() {
            doubts::drop_all(&mut transaction, fence.run).await?;
        }
        announce(&mut transaction, fence.run, now).await?;
        Ok(transaction.commit().await?)
    }

    /// Marks runs that a crash left `running` as `interrupted`. The caller holds the run lock, so no process works on them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn interrupt_crashed_runs(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let dead =
            sqlx::query!("select crawl_run_id, heartbeat_at, stalled_count from crawl_run where status = 'running'")
                .fetch_all(&self.pool)
                .await?;
        for run in dead {
            sqlx::query!(
                "update crawl_run set status = 'interrupted', resume_at = $2,
                     paused_since = null, paused_until = null, pause_reason = null,
                     reason = 'its process ended unexpectedly; last heartbeat at ' ||
                         to_char(heartbeat_at at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS') || ' in Seoul'
                 where crawl_run_id = $1 and status = 'running'",
                run.crawl_run_id,
                // The clock of the crashed machine may have been ahead.
                run.heartbeat_at.min(now) + pause_before_resuming(run.stalled_count)
            )
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// Marks an interrupted run as failed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn abandon_run(&self, run: RunId, reason: &str, now: DateTime<Utc>) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let given_up = sqlx::query!(
            "update crawl_run
             set status = 'failed', reason = $2, resume_at = null, finished_at = greatest($3, started_at)
             where crawl_run_id = $1 and status = 'interrupted'",
            run.0,
            reason,
            now
        )
        .execute(&mut *transaction)
        .await?;
        if given_up.rows_affected() == 1 {
            doubts::drop_all(&mut transaction, run).await?;
            announce(&mut transaction, run, now).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// Whether an earlier attempt with the same arguments was stored.
async fn was_finished(
    connection: &mut PgConnection,
    fence: Fence,
    end: &RunEnd,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query_scalar!(
        "select crawl_run_id from crawl_run
         where crawl_run_id = $1 and resumed_count = $2 and status = $3 and heartbeat_at = $4",
        fence.run.0,
        fence.resumed_count,
        end.status.as_str(),
        now
    )
    .fetch_optional(connection)
    .await?
    .map(drop)
    .ok_or(Error::Superseded(fence.run))
}

/// Writes the findings of a run. Reopened places come first, because the coverage of earlier runs limits when they came back.
async fn write(batch: &mut Batch<'_>, findings: &Findings) -> Result<(), Error> {
    let Findings { stations, coverage, doubted, missed, gone, held_back: _ } = findings;
    let reopened = places::reopen(batch).await?;
    let Missed { places_missed, places_closed } = misses::apply(batch, missed, gone).await?;
    cells::doubt(&mut batch.transaction, batch.run, doubted).await?;
    coverage::record(&mut batch.transaction, batch.run, stations.radius_m(), coverage).await?;
    let count = |count| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query!(
        "update crawl_run set places_missed = $2, places_closed = $3, places_reopened = $4 where crawl_run_id = $1",
        batch.run.0,
        count(places_missed),
        count(places_closed),
        count(reopened)
    )
    .execute(&mut *batch.transaction)
    .await?;
    Ok(())
}

/// Notes the end of a run for its operators, and notifies the listeners once the transaction is committed.
pub(super) async fn announce(connection: &mut PgConnection, run: RunId, now: DateTime<Utc>) -> Result<(), Error> {
    notices::note(connection, run, None, now).await?;
    sqlx::query_scalar!(
        "select count(pg_notify('sanggwond_run', json_build_object('crawl_run_id', crawl_run_id, 'status', status,
             'reason', left(reason, 1000), 'cells_total', cells_total, 'cells_failed', cells_failed, 'requests', requests,
             'places_seen', places_seen, 'places_new', places_new, 'places_changed', places_changed,
             'places_closed', places_closed, 'places_reopened', places_reopened)::text))
         from crawl_run where crawl_run_id = $1",
        run.0
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}
