//! Reading the history: for the scheduler, and for people.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::clock;
use crate::domain::run::{RunId, RunRecord, Status};
use crate::store::{Error, Store, notices};

/// Number of runs, and of ticks, that the scheduler reads.
const LOOK_BACK: i64 = 100;

/// A row of the view `run_history`, with instants, under the names of the columns of `crawl_run`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "named like the columns, which are documented")]
pub struct HistoryRow {
    pub crawl_run_id: i64,
    #[serde(serialize_with = "clock::serialize")]
    pub started_at: DateTime<Utc>,
    pub trigger: String,
    pub status: String,
    #[serde(serialize_with = "clock::serialize_option")]
    pub scheduled_for: Option<DateTime<Utc>>,
    #[serde(serialize_with = "clock::serialize_option")]
    pub finished_at: Option<DateTime<Utc>>,
    pub duration_s: f64,
    pub coverage: String,
    pub scope: Option<serde_json::Value>,
    pub cells_total: i32,
    pub cells_done: i32,
    pub cells_split: i32,
    pub cells_failed: i32,
    pub cells_truncated: i32,
    pub requests: i64,
    pub retries: i64,
    pub throttled: i64,
    pub documents_rejected: i64,
    pub rejected_example: Option<String>,
    pub texts_cut: i64,
    pub places_seen: i32,
    pub places_new: i32,
    pub places_changed: i32,
    pub places_missed: i32,
    pub places_closed: i32,
    pub places_reopened: i32,
    pub retired: Option<serde_json::Value>,
    #[serde(serialize_with = "clock::serialize_option")]
    pub paused_since: Option<DateTime<Utc>>,
    #[serde(serialize_with = "clock::serialize_option")]
    pub paused_until: Option<DateTime<Utc>>,
    pub pause_reason: Option<String>,
    pub verdict: String,
}

impl HistoryRow {
    /// The names of its fields.
    pub const COLUMNS: [&str; 31] = [
        "crawl_run_id",
        "started_at",
        "trigger",
        "status",
        "scheduled_for",
        "finished_at",
        "duration_s",
        "coverage",
        "scope",
        "cells_total",
        "cells_done",
        "cells_split",
        "cells_failed",
        "cells_truncated",
        "requests",
        "retries",
        "throttled",
        "documents_rejected",
        "rejected_example",
        "texts_cut",
        "places_seen",
        "places_new",
        "places_changed",
        "places_missed",
        "places_closed",
        "places_reopened",
        "retired",
        "paused_since",
        "paused_until",
        "pause_reason",
        "verdict",
    ];
}

/// The state of the last full runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LastRuns {
    /// When the last successful one finished.
    pub succeeded_at: Option<DateTime<Utc>>,
    /// Status of the last one that was not skipped and is not running.
    pub status: Option<Status>,
    /// The usual duration of the next one, in seconds: the median of the last four, without the very first run.
    pub usual_duration_s: Option<f64>,
}

impl Store {
    /// The state of the last full runs.
    ///
    /// # Errors
    /// When the database fails, or holds a value that this version does not know.
    pub async fn last_runs(&self) -> Result<LastRuns, Error> {
        let row = sqlx::query!(
            "select (select max(finished_at) from crawl_run where scope is null and status = 'succeeded') as succeeded_at,
                 (select status from crawl_run where scope is null and status not in ('skipped', 'running')
                  order by crawl_run_id desc limit 1) as status,
                 (select extract(epoch from usual_duration)::float8 from run_history
                  where scope is null and status <> 'skipped' order by crawl_run_id desc limit 1) as usual_duration_s"
        )
        .fetch_one(&self.pool)
        .await?;
        let known = |status: String| {
            status.parse().map_err(|()| Error::Unknown { table: "crawl_run", column: "status", value: status })
        };
        Ok(LastRuns {
            succeeded_at: row.succeeded_at,
            status: row.status.map(known).transpose()?,
            usual_duration_s: row.usual_duration_s,
        })
    }

    /// The newest full run that was finished; `None` if there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_full_run(&self) -> Result<Option<RunId>, Error> {
        let run = sqlx::query_scalar!(
            "select crawl_run_id from crawl_run where scope is null and status in ('succeeded', 'partial')
             order by crawl_run_id desc limit 1"
        );
        Ok(run.fetch_optional(&self.pool).await?.map(RunId))
    }

    /// The reason of a run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reason_of(&self, run: RunId) -> Result<Option<String>, Error> {
        let reason = sqlx::query_scalar!("select reason from crawl_run where crawl_run_id = $1", run.0);
        Ok(reason.fetch_optional(&self.pool).await?.flatten())
    }

    /// The requests of the newest full run that was finished; `None` if there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn requests_of_last_full_run(&self) -> Result<Option<i64>, Error> {
        let requests = sqlx::query_scalar!(
            "select requests from crawl_run where scope is null and status in ('succeeded', 'partial')
             order by crawl_run_id desc limit 1"
        );
        Ok(requests.fetch_optional(&self.pool).await?)
    }

    /// The runs that the scheduler needs, newest first: unfinished runs, the latest runs, and the latest runs with a tick.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run_records(&self) -> Result<Vec<RunRecord>, Error> {
        let rows = sqlx::query!(
            r#"select crawl_run_id, trigger, scheduled_for, status, started_at, finished_at, heartbeat_at, resume_at, resumed_count,
                 scope is null as "is_full!",
                 exists (select from run_request q where q.crawl_run_id = crawl_run.crawl_run_id) as "is_requested!"
             from crawl_run
             where status in ('running', 'interrupted')
             or crawl_run_id in (select crawl_run_id from crawl_run order by crawl_run_id desc limit $1)
             or scheduled_for in (select scheduled_for from crawl_run order by scheduled_for desc nulls last limit $1)
             order by crawl_run_id desc"#,
            LOOK_BACK
        )
        .fetch_all(&self.pool)
        .await?;
        let unknown = |column, value: &str| Error::Unknown { table: "crawl_run", column, value: value.to_owned() };
        rows.into_iter()
            .map(|row| {
                Ok(RunRecord {
                    id: RunId(row.crawl_run_id),
                    trigger: row.trigger.parse().map_err(|()| unknown("trigger", &row.trigger))?,
                    scheduled_for: row.scheduled_for,
                    status: row.status.parse().map_err(|()| unknown("status", &row.status))?,
                    started_at: row.started_at,
                    finished_at: row.finished_at,
                    heartbeat_at: row.heartbeat_at,
                    resume_at: row.resume_at,
                    resumed_count: row.resumed_count,
                    is_full: row.is_full,
                    is_requested: row.is_requested,
                })
            })
            .collect()
    }

    /// The newest rows of `run_history`; with `only_failed`, only failed, partial and interrupted runs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn history(&self, limit: i64, only_failed: bool) -> Result<Vec<HistoryRow>, Error> {
        Ok(sqlx::query_as!(
            HistoryRow,
            r#"select crawl_run_id as "crawl_run_id!", started at time zone 'Asia/Seoul' as "started_at!", trigger as "trigger!",
                 status as "status!", due at time zone 'Asia/Seoul' as scheduled_for,
                 finished at time zone 'Asia/Seoul' as finished_at, extract(epoch from duration)::float8 as "duration_s!",
                 coverage as "coverage!", scope, cells_total as "cells_total!", cells_done as "cells_done!",
                 cells_split as "cells_split!", cells_failed as "cells_failed!", cells_truncated as "cells_truncated!",
                 requests as "requests!", retries as "retries!", throttled as "throttled!",
                 documents_rejected as "documents_rejected!", rejected_example, texts_cut as "texts_cut!", places_seen as "places_seen!",
                 places_new as "places_new!", places_changed as "places_changed!", places_missed as "places_missed!",
                 places_closed as "places_closed!", places_reopened as "places_reopened!", retired,
                 paused_since at time zone 'Asia/Seoul' as paused_since,
                 paused_until at time zone 'Asia/Seoul' as paused_until, pause_reason, verdict as "verdict!"
             from run_history where not $2 or status in ('failed', 'partial', 'interrupted') limit $1"#,
            limit,
            only_failed
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Records a skipped tick, unless the tick already has a row.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn skip_tick(
        &self,
        tick: DateTime<Utc>,
        reason: &str,
        host: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let skipped = sqlx::query_scalar!(
            "insert into crawl_run (trigger, scheduled_for, status, reason, coverage, started_at, finished_at, heartbeat_at,
                 version, host)
             values ('schedule', $1, 'skipped', $2, 'station', $3, $3, $3, $4, $5)
             on conflict (scheduled_for) do nothing returning crawl_run_id",
            tick,
            reason,
            now,
            env!("CARGO_PKG_VERSION"),
            host
        )
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some(run) = skipped {
            notices::note(&mut transaction, RunId(run), None, now).await?;
        }
        Ok(transaction.commit().await?)
    }
}
