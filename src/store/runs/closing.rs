//! Closing a run: its last words, and what it has found out as a whole, in one transaction.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::domain::cell::CellNo;
use crate::domain::run::{RunId, Status, pause_before_resuming};
use crate::domain::station::StationMap;
use crate::store::coverage::{self, StationCoverage};
use crate::store::misses::{self, Miss, Missed};
use crate::store::{Error, Fence, Store, cells, places};

/// How a run ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Its status from now on.
    pub status: Status,
    /// Why, in words.
    pub reason: Option<String>,
    /// From when on it may be taken up again.
    pub resume_at: Option<DateTime<Utc>>,
}

/// What a run that is through has found out as a whole.
#[derive(Clone, Debug)]
pub struct Findings {
    /// The live stations, and the radius.
    pub stations: StationMap,
    /// How its stations are covered, as far as that counts.
    pub coverage: Vec<StationCoverage>,
    /// Cells that showed too few places and prove nothing, each with how many.
    pub doubted: Vec<(CellNo, i32)>,
    /// Links that were missed and are not given up yet.
    pub missed: Vec<Miss>,
    /// Links that were missed once too often.
    pub gone: Vec<Miss>,
    /// Why some misses do not count, in words.
    pub held_back: Option<String>,
}

impl Store {
    /// Closes a run that is ours, writes what it has found out if it is through, and tells whoever listens on
    /// `sanggwond_run`. With the same instant it can be repeated where the answer was lost.
    ///
    /// # Errors
    /// When the run is no longer ours or the database fails.
    pub async fn close_run(
        &self,
        fence: Fence,
        closing: &Closing,
        findings: Option<&Findings>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let finished_at = (!closing.status.is_unfinished()).then_some(now);
        let closed = sqlx::query!(
            "update crawl_run set status = $3, reason = $4, resume_at = $5, heartbeat_at = $6, finished_at = $7,
                 places_seen = (select count(distinct place_id) from place_keyword where last_seen_run = $1)
             where crawl_run_id = $1 and resumed_count = $2 and status = 'running'",
            fence.run.0,
            fence.resumed_count,
            closing.status.as_str(),
            closing.reason,
            closing.resume_at,
            now,
            finished_at
        )
        .execute(&mut *transaction)
        .await?;
        if closed.rows_affected() == 0 {
            return self.was_closed(fence, closing, now).await;
        }
        if let Some(findings) = findings {
            write(&mut transaction, fence.run, findings, now).await?;
        }
        announce(&mut transaction, fence.run).await?;
        Ok(transaction.commit().await?)
    }

    /// Whether an earlier try with these words was stored.
    async fn was_closed(&self, fence: Fence, closing: &Closing, now: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query_scalar!(
            "select crawl_run_id from crawl_run
             where crawl_run_id = $1 and resumed_count = $2 and status = $3 and heartbeat_at = $4",
            fence.run.0,
            fence.resumed_count,
            closing.status.as_str(),
            now
        )
        .fetch_optional(&self.pool)
        .await?
        .map(drop)
        .ok_or(Error::Superseded(fence.run))
    }

    /// Puts right what a crash left behind: a run that is `running` while we hold the lock is `interrupted`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn bury_dead_runs(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let dead =
            sqlx::query!("select crawl_run_id, heartbeat_at, stalled_count from crawl_run where status = 'running'")
                .fetch_all(&self.pool)
                .await?;
        for run in dead {
            sqlx::query!(
                "update crawl_run set status = 'interrupted', resume_at = $2,
                     reason = 'its process ended without a word; last sign of life at ' ||
                         to_char(heartbeat_at at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS') || ' in Seoul'
                 where crawl_run_id = $1 and status = 'running'",
                run.crawl_run_id,
                // The clock of the machine that died may have been ahead.
                run.heartbeat_at.min(now) + pause_before_resuming(run.stalled_count)
            )
            .execute(&self.pool)
            .await?;
        }
        Ok(())
    }

    /// Closes an unfinished run that nobody works on as failed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn give_up_run(&self, run: RunId, reason: &str, now: DateTime<Utc>) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let given_up = sqlx::query!(
            "update crawl_run set status = 'failed', reason = $2, resume_at = null, finished_at = $3
             where crawl_run_id = $1 and status = 'interrupted'",
            run.0,
            reason,
            now
        )
        .execute(&mut *transaction)
        .await?;
        if given_up.rows_affected() == 1 {
            announce(&mut transaction, run).await?;
        }
        Ok(transaction.commit().await?)
    }
}

/// Writes what a run has found out: reopened places first, because the coverage recorded so far tells since when they may
/// be back.
async fn write(
    connection: &mut PgConnection,
    run: RunId,
    findings: &Findings,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let Findings { stations, coverage, doubted, missed, gone, held_back: _ } = findings;
    let reopened = places::reopen(connection, run, stations, now).await?;
    let Missed { places_missed, places_closed } = misses::apply(connection, run, stations, (missed, gone), now).await?;
    cells::doubt(connection, run, doubted).await?;
    coverage::record(connection, run, stations.radius_m(), coverage).await?;
    let count = |count| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query!(
        "update crawl_run set places_missed = $2, places_closed = $3, places_reopened = $4 where crawl_run_id = $1",
        run.0,
        count(places_missed),
        count(places_closed),
        count(reopened)
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Tells whoever listens, once the transaction is committed.
async fn announce(connection: &mut PgConnection, run: RunId) -> Result<(), Error> {
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
