//! The run history: opening, resuming, counting and closing runs.

mod history;
mod housekeeping;
mod opening;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, Fence, Store, Written};
use crate::domain::cell::{CellStatus, Outcome, Shown, Traffic};
use crate::domain::run::{RunId, Status, pause_before_resuming};

pub use history::HistoryRow;
pub use opening::{NewRun, Opening, RunGround};

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

    /// Closes a run that is ours, and counts the places it has seen. With the same instant it can be repeated where the
    /// answer was lost.
    ///
    /// # Errors
    /// When the run is no longer ours or the database fails.
    pub async fn close_run(&self, fence: Fence, closing: &Closing, now: DateTime<Utc>) -> Result<(), Error> {
        let finished_at = (!closing.status.is_unfinished()).then_some(now);
        let done = sqlx::query!(
            "update crawl_run set status = $3, reason = $4, resume_at = $5, heartbeat_at = $6, finished_at = $7,
                 places_seen = (select count(distinct place_id) from place_keyword where last_seen_run = $1)
             where crawl_run_id = $1 and resumed_count = $2
             and (status = 'running' or (status = $3 and heartbeat_at = $6))",
            fence.run.0,
            fence.resumed_count,
            closing.status.as_str(),
            closing.reason,
            closing.resume_at,
            now,
            finished_at
        )
        .execute(&self.pool)
        .await?;
        if done.rows_affected() == 1 { Ok(()) } else { Err(Error::Superseded(fence.run)) }
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
        sqlx::query!(
            "update crawl_run set status = 'failed', reason = $2, resume_at = null, finished_at = $3
             where crawl_run_id = $1 and status = 'interrupted'",
            run.0,
            reason,
            now
        )
        .execute(&self.pool)
        .await?;
        Ok(())
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
                 retries, throttled, documents_rejected, places_seen, places_new, places_changed, stalled_count
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
