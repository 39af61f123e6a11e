//! The run history: opening, resuming, counting and closing runs.

mod cancelling;
mod finishing;
mod history;
mod housekeeping;
mod opening;
mod time_spent;

use chrono::{DateTime, Utc};

use super::batch::Batch;
use super::{Error, Fence, Store, Written};
use crate::domain::cell::{CellStatus, OVER_LIMIT, Outcome, Rejected, Shown, Traffic};
use crate::domain::pause::Pause;
use crate::domain::run::RunId;

pub use cancelling::Cancelled;
pub use finishing::{Findings, RunEnd};
pub use history::{HistoryRow, LastRuns};
pub(super) use opening::listed_radius_m;
pub use opening::{NewRun, Opening, RunPlan};

/// The counts of a run as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    pub rejected_example: Option<String>,
    pub texts_cut: i64,
    /// Documents that its cells received, rejected ones included.
    pub documents: i64,
    /// Why some rectangles were not divided.
    pub limit_reached: Option<String>,
}

impl Store {
    /// Records that the process of a run is alive, and the pause that it waits for, if any. Returns the reason if a user has
    /// cancelled the run.
    ///
    /// # Errors
    /// When another process has taken over the run or the database fails.
    pub async fn beat_run(
        &self,
        fence: Fence,
        pause: Option<&Pause>,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, Error> {
        let done = sqlx::query_scalar!(
            "update crawl_run set heartbeat_at = $3, paused_since = $4, paused_until = $5, pause_reason = $6
             where crawl_run_id = $1 and status = 'running' and resumed_count = $2 returning cancel_reason",
            fence.run.0,
            fence.resumed_count,
            now,
            pause.map(|pause| pause.since),
            pause.and_then(|pause| pause.until),
            pause.map(|pause| pause.reason.as_str())
        )
        .fetch_optional(&self.pool)
        .await;
        match done.map_err(Error::from) {
            Ok(Some(cancel_reason)) => Ok(cancel_reason),
            Ok(None) => Err(Error::Superseded(fence.run)),
            // lock_timeout: a slow batch of this process holds the row, and will update the heartbeat itself.
            Err(Error::Statement(cause)) if cause.code().as_deref() == Some("55P03") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Records that a run without a tick has served this tick, unless the tick already has a row.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tie_run(&self, run: RunId, tick: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query!(
            "update crawl_run set scheduled_for = $2
             where crawl_run_id = $1 and scheduled_for is null
             and not exists (select from crawl_run where scheduled_for = $2)",
            run.0,
            tick
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Removes the tick from a run that was started, or recorded as skipped, while the clock was ahead.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn untie_run(&self, run: RunId) -> Result<(), Error> {
        sqlx::query!(
            "update crawl_run set scheduled_for = null,
                 reason = concat_ws('; ', reason, 'the clock was ahead: the tick at ' ||
                     to_char(scheduled_for at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS') || ' in Seoul is decided again')
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
                 places_reopened, stalled_count, rejected_example,
                 documents_rejected + (select coalesce(sum(places), 0) from crawl_cell c
                     where c.crawl_run_id = crawl_run.crawl_run_id) as "documents!",
                 (select error from crawl_cell c where c.crawl_run_id = crawl_run.crawl_run_id and status = 'failed'
                     and starts_with(error, $2) order by cell_no limit 1) as limit_reached, texts_cut
             from crawl_run where crawl_run_id = $1"#,
            run.0,
            OVER_LIMIT
        )
        .fetch_one(&self.pool)
        .await?)
    }
}

/// Adds the results of a batch to the counters of its run.
pub(super) async fn count(batch: &mut Batch<'_>, outcomes: &[&Outcome], written: Written) -> Result<(), Error> {
    let with_status = |status| outcomes.iter().filter(|outcome| outcome.status() == status).count();
    let is_truncated = |outcome: &&&Outcome| outcome.shown() == Some(Shown::Truncated);
    let pieces: usize = outcomes.iter().map(|outcome| outcome.pieces().len()).sum();
    let (mut traffic, mut rejected) = (Traffic::default(), Rejected::default());
    for outcome in outcomes {
        traffic += outcome.traffic;
        rejected += outcome.rejected.clone();
    }
    let cells = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    sqlx::query!(
        "update crawl_run set heartbeat_at = $2, cells_done = cells_done + $3, cells_failed = cells_failed + $4,
             cells_truncated = cells_truncated + $5, requests = requests + $6, retries = retries + $7,
             throttled = throttled + $8, documents_rejected = documents_rejected + $9, places_new = places_new + $10,
             places_changed = places_changed + $11, places_seen = places_seen + $14,
             cells_split = cells_split + $12, cells_total = cells_total + $13,
             stalled_count = case when $3 + $4 + $12 > 0 then 0 else stalled_count end,
             rejected_example = coalesce(rejected_example, $15), texts_cut = texts_cut + $16
         where crawl_run_id = $1",
        batch.run.0,
        batch.now,
        cells(with_status(CellStatus::Done)),
        cells(with_status(CellStatus::Failed)),
        cells(outcomes.iter().filter(is_truncated).count()),
        i64::from(traffic.requests),
        i64::from(traffic.retries),
        i64::from(traffic.throttled),
        i64::from(rejected.documents),
        i32::try_from(written.places_new).unwrap_or(i32::MAX),
        i32::try_from(written.places_changed).unwrap_or(i32::MAX),
        cells(with_status(CellStatus::Split)),
        cells(pieces),
        i32::try_from(written.places_seen).unwrap_or(i32::MAX),
        rejected.example,
        i64::from(rejected.texts_cut)
    )
    .execute(&mut *batch.transaction)
    .await?;
    Ok(())
}

/// Adds requests that belong to no cell, and the places that they changed, to the counters of the run.
pub(super) async fn count_traffic(batch: &mut Batch<'_>, traffic: Traffic, written: Written) -> Result<(), Error> {
    sqlx::query!(
        "update crawl_run set heartbeat_at = $2, requests = requests + $3, retries = retries + $4,
             throttled = throttled + $5, places_changed = places_changed + $6
         where crawl_run_id = $1",
        batch.run.0,
        batch.now,
        i64::from(traffic.requests),
        i64::from(traffic.retries),
        i64::from(traffic.throttled),
        i32::try_from(written.places_changed).unwrap_or(i32::MAX)
    )
    .execute(&mut *batch.transaction)
    .await?;
    Ok(())
}
