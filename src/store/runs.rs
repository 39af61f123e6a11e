//! The run history: opening, resuming, counting and closing runs.

mod closing;
mod history;
mod housekeeping;
mod opening;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, Fence, Store, Written};
use crate::domain::cell::{CellStatus, Outcome, Shown, Traffic};
use crate::domain::run::RunId;

pub use closing::{Closing, Findings};
pub use history::{HistoryRow, LastRuns};
pub use opening::{NewRun, Opening, RunGround};

/// The counts of a run as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the columns, which are documented")]
pub struct Counts {
    pub cells_total: i32,
    pub cells_done: i32,
    pub cells_split: i32,
    pub cells_failed: i32,
    pub cells_pending: i32,
    pub cells_truncated: i32,
    pub requests: i64,
    pub retries: i64,
    pub throttled: i64,
    pub documents_rejected: i64,
    pub places_seen: i32,
    pub places_new: i32,
    pub places_changed: i32,
    pub places_missed: i32,
    pub places_closed: i32,
    pub places_reopened: i32,
    pub stalled_count: i32,
}

impl Store {
    /// Shows that a run is alive while it has nothing to write.
    ///
    /// # Errors
    /// When the run is no longer ours or the database fails.
    pub async fn beat_run(&self, fence: Fence, now: DateTime<Utc>) -> Result<(), Error> {
        let done = sqlx::query!(
            "update crawl_run set heartbeat_at = $3 where crawl_run_id = $1 and status = 'running' and resumed_count = $2",
            fence.run.0,
            fence.resumed_count,
            now
        )
        .execute(&self.pool)
        .await;
        match done.map_err(Error::from) {
            Ok(done) if done.rows_affected() == 1 => Ok(()),
            Ok(_) => Err(Error::Superseded(fence.run)),
            // A slow batch of our own holds the row, and shows life when it is through.
            Err(Error::Statement(cause)) if cause.code().as_deref() == Some("55P03") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes its tick from a run that was started, or recorded as skipped, while the clock was ahead.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn untie_run(&self, run: RunId) -> Result<(), Error> {
        sqlx::query!(
            "update crawl_run set scheduled_for = null,
                 reason = concat_ws('; ', reason, 'the clock was ahead: the tick at ' ||
                     to_char(scheduled_for at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS') || ' in Seoul is judged anew')
             where crawl_run_id = $1",
            run.0
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The counts of a run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn counts(&self, run: RunId) -> Result<Counts, Error> {
        Ok(sqlx::query_as!(
            Counts,
            r#"select cells_total, cells_done, cells_split, cells_failed, cells_pending as "cells_pending!", cells_truncated, requests,
                 retries, throttled, documents_rejected, places_seen, places_new, places_changed, places_missed, places_closed,
                 places_reopened, stalled_count
             from crawl_run where crawl_run_id = $1"#,
            run.0
        )
        .fetch_one(&self.pool)
        .await?)
    }
}

/// Locks the row of a run, where it is still ours.
pub(super) async fn hold(connection: &mut PgConnection, fence: Fence) -> Result<(), Error> {
    sqlx::query_scalar!(
        "select crawl_run_id from crawl_run
         where crawl_run_id = $1 and status = 'running' and resumed_count = $2 for no key update",
        fence.run.0,
        fence.resumed_count
    )
    .fetch_optional(connection)
    .await?
    .map(drop)
    .ok_or(Error::Superseded(fence.run))
}

/// Adds what a batch did to the counters of its run.
pub(super) async fn count(
    connection: &mut PgConnection,
    run: RunId,
    outcomes: &[&Outcome],
    written: Written,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let with_status = |status| outcomes.iter().filter(|outcome| outcome.status() == status).count();
    let is_truncated = |outcome: &&&Outcome| outcome.shown() == Some(Shown::Truncated);
    let pieces: usize = outcomes.iter().map(|outcome| outcome.pieces().len()).sum();
    let mut traffic = Traffic::default();
    for outcome in outcomes {
        traffic += outcome.traffic;
    }
    let rejected: u32 = outcomes.iter().map(|outcome| outcome.documents_rejected).sum();
    let cells = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query!(
        "update crawl_run set heartbeat_at = $2, cells_done = cells_done + $3, cells_failed = cells_failed + $4,
             cells_truncated = cells_truncated + $5, requests = requests + $6, retries = retries + $7,
             throttled = throttled + $8, documents_rejected = documents_rejected + $9, places_new = places_new + $10,
             places_changed = places_changed + $11,
             cells_split = cells_split + $12, cells_total = cells_total + $13,
             stalled_count = case when $3 + $4 + $12 > 0 then 0 else stalled_count end
         where crawl_run_id = $1",
        run.0,
        now,
        cells(with_status(CellStatus::Done)),
        cells(with_status(CellStatus::Failed)),
        cells(outcomes.iter().filter(is_truncated).count()),
        i64::from(traffic.requests),
        i64::from(traffic.retries),
        i64::from(traffic.throttled),
        i64::from(rejected),
        i32::try_from(written.places_new).unwrap_or(i32::MAX),
        i32::try_from(written.places_changed).unwrap_or(i32::MAX),
        cells(with_status(CellStatus::Split)),
        cells(pieces),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds what requests outside the ledger cost and changed to the counters of their run.
pub(super) async fn count_traffic(
    connection: &mut PgConnection,
    run: RunId,
    traffic: Traffic,
    written: Written,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "update crawl_run set heartbeat_at = $2, requests = requests + $3, retries = retries + $4,
             throttled = throttled + $5, places_changed = places_changed + $6
         where crawl_run_id = $1",
        run.0,
        now,
        i64::from(traffic.requests),
        i64::from(traffic.retries),
        i64::from(traffic.throttled),
        i32::try_from(written.places_changed).unwrap_or(i32::MAX)
    )
    .execute(connection)
    .await?;
    Ok(())
}
