//! Changes of places, newest first.

use chrono::{DateTime, Utc};
use futures_util::{Stream, TryStreamExt};
use serde::Serialize;

use super::{Part, Reader};
use crate::clock;
use crate::store::Error;

/// Which changes are asked for.
#[derive(Clone, Debug)]
pub struct ChangeFilter {
    /// Recorded then or later.
    pub since: DateTime<Utc>,
    /// Only of places that this filter selects.
    pub part: Part,
    /// Of these kinds; `None`: all.
    pub kinds: Option<Vec<String>>,
    /// Maximum number of rows; `None`: all.
    pub limit: Option<u32>,
}

/// A row of `place_change` with the name of its place; a purged place has neither name nor position.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "named like the columns, which are documented")]
pub struct ChangeRow {
    pub place_change_id: i64,
    #[serde(serialize_with = "clock::serialize")]
    pub recorded_at: DateTime<Utc>,
    pub kind: String,
    pub place_id: String,
    pub name: Option<String>,
    pub is_replaced: bool,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    #[serde(serialize_with = "clock::serialize_option")]
    pub not_before: Option<DateTime<Utc>>,
    #[serde(serialize_with = "clock::serialize")]
    pub not_after: DateTime<Utc>,
    pub crawl_run_id: Option<i64>,
}

impl ChangeRow {
    /// The names of its fields.
    pub const COLUMNS: [&str; 13] = [
        "place_change_id",
        "recorded_at",
        "kind",
        "place_id",
        "name",
        "is_replaced",
        "before",
        "after",
        "latitude",
        "longitude",
        "not_before",
        "not_after",
        "crawl_run_id",
    ];
}

impl Reader {
    /// The changes that a filter selects, newest first.
    pub fn changes(&mut self, filter: &ChangeFilter) -> impl Stream<Item = Result<ChangeRow, Error>> {
        sqlx::query_as!(
            ChangeRow,
            r#"select c.place_change_id, c.recorded_at, c.kind, c.place_id, p.name as "name?", c.is_replaced, c.before, c.after,
                 c.latitude, c.longitude, c.not_before, c.not_after, c.crawl_run_id
             from place_change c left join place p using (place_id)
             where c.recorded_at >= $1 and ($2::text[] is null or c.kind = any($2))
             and ($3::int[] is null or c.place_id in (select place_id from listing where station_id = any($3)))
             and ($4::int[] is null or exists (
                 select from place_keyword k where k.place_id = c.place_id and k.keyword_id = any($4)))
             order by c.recorded_at desc, c.place_change_id desc
             limit $5"#,
            filter.since,
            filter.kinds.as_deref() as Option<&[String]>,
            filter.part.station_ids() as Option<Vec<i32>>,
            filter.part.keyword_ids() as Option<Vec<i32>>,
            filter.limit.map(i64::from) as Option<i64>
        )
        .fetch(&mut self.connection)
        .map_err(Error::from)
    }
}
