//! The situation now: the daemons, the unfinished runs, the last full run, and what waits.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Error, SILENT_AFTER, Store};
use crate::clock;

/// A daemon, from its row.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "named like the columns, which are documented, except `is_alive`")]
pub struct DaemonRow {
    pub host: String,
    pub version: String,
    #[serde(serialize_with = "clock::serialize")]
    pub started_at: DateTime<Utc>,
    #[serde(serialize_with = "clock::serialize")]
    pub heartbeat_at: DateTime<Utc>,
    #[serde(serialize_with = "clock::serialize_option")]
    pub next_tick: Option<DateTime<Utc>>,
    pub is_alive: bool,
}

/// An unfinished run.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "named like the columns, which are documented")]
pub struct UnfinishedRun {
    pub crawl_run_id: i64,
    pub trigger: String,
    pub status: String,
    pub scope: Option<serde_json::Value>,
    pub host: String,
    #[serde(serialize_with = "clock::serialize")]
    pub started_at: DateTime<Utc>,
    #[serde(serialize_with = "clock::serialize")]
    pub heartbeat_at: DateTime<Utc>,
    #[serde(serialize_with = "clock::serialize_option")]
    pub resume_at: Option<DateTime<Utc>>,
    pub resumed_count: i32,
    pub cells_total: i32,
    pub cells_pending: i32,
    pub cells_failed: i32,
    pub requests: i64,
    pub reason: Option<String>,
    #[serde(serialize_with = "clock::serialize_option")]
    pub paused_since: Option<DateTime<Utc>>,
    #[serde(serialize_with = "clock::serialize_option")]
    pub paused_until: Option<DateTime<Utc>>,
    pub pause_reason: Option<String>,
    pub usual_duration_s: Option<f64>,
}

/// What a run recorded about places, by kind of change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "named like the kinds of place_change, which are documented")]
pub struct ChangeCounts {
    pub opened: i64,
    pub changed: i64,
    pub closed: i64,
    pub reopened: i64,
}

impl Store {
    /// All daemons with a row, the one that was heard of last first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn daemons(&self) -> Result<Vec<DaemonRow>, Error> {
        let rows = sqlx::query_as!(
            DaemonRow,
            r#"select host, version, started_at, heartbeat_at, next_tick,
                 seen_at > clock_timestamp() - $1::float8 * interval '1 second' as "is_alive!"
             from daemon order by seen_at desc, daemon_id"#,
            SILENT_AFTER.as_secs_f64()
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// The unfinished runs: full ones first, and of these the newest.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfinished_runs(&self) -> Result<Vec<UnfinishedRun>, Error> {
        let rows = sqlx::query_as!(
            UnfinishedRun,
            r#"select r.crawl_run_id, r.trigger, r.status, r.scope, r.host, r.started_at, r.heartbeat_at, r.resume_at,
                 r.resumed_count, r.cells_total, r.cells_pending as "cells_pending!", r.cells_failed, r.requests, r.reason,
                 r.paused_since, r.paused_until, r.pause_reason,
                 (select extract(epoch from usual_duration)::float8 from run_history h
                     where h.crawl_run_id = r.crawl_run_id) as usual_duration_s
             from crawl_run r
             where r.status in ('running', 'interrupted') order by r.scope is not null, r.crawl_run_id desc"#
        );
        Ok(rows.fetch_all(&self.pool).await?)
    }

    /// What a run recorded about places.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changes_of(&self, run: i64) -> Result<ChangeCounts, Error> {
        let counts = sqlx::query_as!(
            ChangeCounts,
            r#"select count(*) filter (where kind = 'opened') as "opened!", count(*) filter (where kind = 'changed') as "changed!",
                 count(*) filter (where kind = 'closed') as "closed!", count(*) filter (where kind = 'reopened') as "reopened!"
             from place_change where crawl_run_id = $1"#,
            run
        );
        Ok(counts.fetch_one(&self.pool).await?)
    }

    /// The number of requests for runs that wait for an answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn requests_waiting(&self) -> Result<i64, Error> {
        let waiting =
            sqlx::query_scalar!(r#"select count(*) as "waiting!" from run_request where crawl_run_id is null"#);
        Ok(waiting.fetch_one(&self.pool).await?)
    }
}
