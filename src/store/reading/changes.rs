//! What changed, newest first.

use chrono::{DateTime, Utc};
use futures_util::{Stream, TryStreamExt};
use serde::Serialize;

use super::{Part, Reader};
use crate::store::Error;

/// Which changes are asked for.
#[derive(Clone, Debug)]
pub struct ChangeFilter {
    /// Recorded then or later.
    pub since: DateTime<Utc>,
    /// Of places of this part.
    pub part: Part,
    /// Of these kinds; `None`: all.
    pub kinds: Option<Vec<String>>,
    /// At most so many; `None`: all.
    pub limit: Option<u32>,
}

/// A row of `place_change` with the name of its place.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "named like the columns, which are documented")]
pub struct ChangeRow {
    pub place_change_id: i64,
    pub recorded_at: DateTime<Utc>,
    pub kind: String,
    pub place_id: String,
    pub name: String,
    pub is_replaced: bool,
    pub before: Option<serde_json::Value>,
    pub after: Option<serde_json::Value>,
    pub latitude: f64,
    pub longitude: f64,
    pub not_before: Option<DateTime<Utc>>,
    pub not_after: DateTime<Utc>,
    pub crawl_run_id: i64,
}

impl Reader {
    /// The changes that a filter lets through, newest first.
    pub fn changes(&mut self, filter: &ChangeFilter) -> impl Stream<Item = Result<ChangeRow, Error>> {
        sqlx::query_as!(
            ChangeRow,
            "select c.place_change_id, c.recorded_at, c.kind, c.place_id, p.name, c.is_replaced, c.before, c.after,
                 c.latitude, c.longitude, c.not_before, c.not_after, c.crawl_run_id
             from place_change c join place p using (place_id)
             where c.recorded_at >= $1 and ($2::text[] is null or c.kind = any($2))
             and ($3::int[] is null or c.place_id in (select place_id from listing where station_id = any($3)))
             and ($4::int[] is null or exists (
                 select from place_keyword k where k.place_id = c.place_id and k.keyword_id = any($4)))
             order by c.recorded_at desc, c.place_change_id desc
             limit $5",
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
