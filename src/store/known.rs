//! The known places, from which the rectangles of a run are planned.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::{Error, Store};
use crate::domain::churn::Churn;
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;

/// What earlier runs have found.
#[derive(Clone, Debug, Default)]
pub struct KnownPlaces {
    /// The positions of the places of each keyword.
    pub positions: BTreeMap<KeywordId, Vec<LatLng>>,
    /// The changes from the last but one complete run to the last one; empty without two such runs.
    pub churn: BTreeMap<KeywordId, Churn>,
}

impl Store {
    /// The places that each keyword finds. Places that the last complete full run did not find are left out: they are gone, or
    /// outside the searched area.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_places(&self) -> Result<KnownPlaces, Error> {
        let mut positions: BTreeMap<KeywordId, Vec<LatLng>> = BTreeMap::new();
        let mut rows = sqlx::query!(
            "select keyword_id, latitude, longitude from place_keyword join place using (place_id)
             where gone_at is null and last_seen_run >= coalesce((
                 select max(crawl_run_id) from crawl_run
                 where coverage = 'complete' and scope is null and status = 'succeeded'), 0)"
        )
        .fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            if let Ok(position) = LatLng::new(row.latitude, row.longitude) {
                positions.entry(KeywordId(row.keyword_id)).or_default().push(position);
            }
        }
        Ok(KnownPlaces { positions, churn: self.churn().await? })
    }

    /// The changes that the last complete full run found. Only finished runs count, so a resumed run gets the same numbers.
    async fn churn(&self) -> Result<BTreeMap<KeywordId, Churn>, Error> {
        let rows = sqlx::query!(
            r#"with last as (
                 select crawl_run_id, started_at, finished_at from crawl_run
                 where coverage = 'complete' and scope is null and status = 'succeeded'
                 order by crawl_run_id desc limit 2),
               pair as (
                 select min(crawl_run_id) as before, max(crawl_run_id) as after, max(started_at) as started_at,
                     max(finished_at) as finished_at from last having count(*) = 2)
             select keyword_id, count(*) as "places!", count(*) filter (where last_seen_run < after) as "gone!",
                 count(*) filter (where first_seen_at between started_at and finished_at) as "new!"
             from place_keyword, pair where last_seen_run >= before group by keyword_id"#
        )
        .fetch_all(&self.pool)
        .await?;
        let number = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        let churn = rows.into_iter().map(|row| {
            (KeywordId(row.keyword_id), Churn::observed(number(row.places), number(row.gone), number(row.new)))
        });
        Ok(churn.collect())
    }
}
