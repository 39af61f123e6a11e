//! The last runs, each with the medians of the runs before it.

use std::collections::BTreeMap;

use chrono::NaiveDateTime;
use sqlx::PgConnection;
use sqlx::types::Json;

use crate::domain::drift::Canaries;
use crate::domain::run::{RunId, Status, Trigger};
use crate::domain::time_spent::TimeSpent;
use crate::store::Error;

/// A run as the report shows it.
#[derive(Clone, Debug)]
#[expect(
    missing_docs,
    reason = "named like the columns of run_history and crawl_run, which are documented; cells_seen_to is done plus split"
)]
pub struct ReportRun {
    pub id: RunId,
    pub started: NaiveDateTime,
    pub due: Option<NaiveDateTime>,
    pub trigger: Trigger,
    pub status: Status,
    pub reason: Option<String>,
    pub is_full: bool,
    pub duration_s: f64,
    pub cells_total: i32,
    pub cells_seen_to: i32,
    pub cells_failed: i32,
    pub cells_truncated: i32,
    pub requests: i64,
    pub places_seen: i32,
    pub places_new: i32,
    pub places_changed: i32,
    pub places_closed: i32,
    pub documents_rejected: i64,
    pub rejected_example: Option<String>,
    pub texts_cut: i64,
    pub retired: Option<serde_json::Value>,
    pub canaries: Canaries,
    pub pause_reason: Option<String>,
    pub paused_since: Option<NaiveDateTime>,
    pub paused_until: Option<NaiveDateTime>,
    pub verdict: String,
    pub time_spent: TimeSpent,
    pub usual: Usual,
}

/// The medians of the last four full runs of the same coverage before a run, without the very first one; `None` where
/// none remains.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "named like the columns, which are documented")]
pub struct Usual {
    pub duration_s: Option<f64>,
    pub requests: Option<f64>,
    pub places_seen: Option<f64>,
    pub places_new: Option<f64>,
    pub places_changed: Option<f64>,
    pub places_closed: Option<f64>,
}

/// The newest full runs whose cells are kept, newest first.
pub(super) async fn newest_ledgers(connection: &mut PgConnection, limit: i64) -> Result<Vec<i64>, Error> {
    Ok(sqlx::query_scalar!(
        "select crawl_run_id from crawl_run
         where scope is null
         and exists (select from crawl_cell c where c.crawl_run_id = crawl_run.crawl_run_id)
         order by crawl_run_id desc limit $1",
        limit
    )
    .fetch_all(connection)
    .await?)
}

/// A row of the query, with the medians as plain columns.
struct Row {
    crawl_run_id: i64,
    started: NaiveDateTime,
    due: Option<NaiveDateTime>,
    trigger: String,
    status: String,
    reason: Option<String>,
    is_full: bool,
    duration_s: f64,
    cells_total: i32,
    cells_seen_to: i32,
    cells_failed: i32,
    cells_truncated: i32,
    requests: i64,
    places_seen: i32,
    places_new: i32,
    places_changed: i32,
    places_closed: i32,
    documents_rejected: i64,
    rejected_example: Option<String>,
    texts_cut: i64,
    retired: Option<serde_json::Value>,
    canaries: Option<Json<Canaries>>,
    pause_reason: Option<String>,
    paused_since: Option<NaiveDateTime>,
    paused_until: Option<NaiveDateTime>,
    verdict: String,
    requests_s: f64,
    pauses_s: Json<BTreeMap<String, f64>>,
    database_s: f64,
    page_delays_s: f64,
    usual_duration_s: Option<f64>,
    usual_requests: Option<f64>,
    usual_places_seen: Option<f64>,
    usual_places_new: Option<f64>,
    usual_places_changed: Option<f64>,
    usual_places_closed: Option<f64>,
}

impl TryFrom<Row> for ReportRun {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        let unknown = |column, value: &str| Error::Unknown { table: "crawl_run", column, value: value.to_owned() };
        Ok(Self {
            id: RunId(row.crawl_run_id),
            started: row.started,
            due: row.due,
            trigger: row.trigger.parse().map_err(|()| unknown("trigger", &row.trigger))?,
            status: row.status.parse().map_err(|()| unknown("status", &row.status))?,
            reason: row.reason,
            is_full: row.is_full,
            duration_s: row.duration_s,
            cells_total: row.cells_total,
            cells_seen_to: row.cells_seen_to,
            cells_failed: row.cells_failed,
            cells_truncated: row.cells_truncated,
            requests: row.requests,
            places_seen: row.places_seen,
            places_new: row.places_new,
            places_changed: row.places_changed,
            places_closed: row.places_closed,
            documents_rejected: row.documents_rejected,
            rejected_example: row.rejected_example,
            texts_cut: row.texts_cut,
            retired: row.retired,
            canaries: row.canaries.map(|Json(canaries)| canaries).unwrap_or_default(),
            pause_reason: row.pause_reason,
            paused_since: row.paused_since,
            paused_until: row.paused_until,
            verdict: row.verdict,
            time_spent: TimeSpent {
                requests_s: row.requests_s,
                pauses_s: row.pauses_s.0,
                database_s: row.database_s,
                page_delays_s: row.page_delays_s,
            },
            usual: Usual {
                duration_s: row.usual_duration_s,
                requests: row.usual_requests,
                places_seen: row.usual_places_seen,
                places_new: row.usual_places_new,
                places_changed: row.usual_places_changed,
                places_closed: row.usual_places_closed,
            },
        })
    }
}

/// The last runs, newest first.
pub(super) async fn last(connection: &mut PgConnection, limit: i64) -> Result<Vec<ReportRun>, Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"select r.crawl_run_id, h.started as "started!", h.due, r.trigger, r.status, r.reason, r.scope is null as "is_full!",
             extract(epoch from h.duration)::float8 as "duration_s!", r.cells_total,
             r.cells_done + r.cells_split as "cells_seen_to!", r.cells_failed, r.cells_truncated, r.requests,
             r.places_seen, r.places_new, r.places_changed, r.places_closed,
             r.documents_rejected, r.rejected_example, r.texts_cut, r.retired,
             r.canaries as "canaries: Json<Canaries>", r.pause_reason, h.paused_since, h.paused_until,
             h.verdict as "verdict!", r.requests_s, r.pauses_s as "pauses_s: Json<BTreeMap<String, f64>>", r.database_s,
             r.page_delays_s,
             extract(epoch from h.usual_duration)::float8 as usual_duration_s, h.usual_requests::float8 as usual_requests,
             h.usual_places_seen::float8 as usual_places_seen, h.usual_places_new, h.usual_places_changed, h.usual_places_closed
         from crawl_run r join run_history h using (crawl_run_id)
         order by r.crawl_run_id desc limit $1"#,
        limit
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(ReportRun::try_from).collect()
}
