//! Doubts: content of known places that must be confirmed, because a place moved far or lost its name or another field.
//!
//! A batch stores a doubt instead of the content. At the end of its run each doubt is confirmed or dropped.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::places::{self, stored_id, stored_position};
use super::{Confirmed, Error, Fence, Store, Written, runs};
use crate::domain::keyword::KeywordId;
use crate::domain::place::{Place, PlaceId};
use crate::domain::run::RunId;
use crate::domain::station::StationMap;

/// Why content must be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubtKind {
    /// The place is more than 2 km from where it was.
    Moved,
    /// Its name is missing.
    Nameless,
    /// A phone number, an address, a category or its page is missing.
    Blanked,
}

/// New content of a known place that is not confirmed yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Doubt {
    /// Why it must be confirmed.
    pub kind: DoubtKind,
    /// The stored name.
    pub name: String,
    /// The keywords that found it in this run.
    pub keywords: Vec<KeywordId>,
    /// The content as it was received.
    pub content: Place,
}

/// How many known places a keyword found in a run, and how many of them have a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubtTally {
    /// The keyword.
    pub keyword: KeywordId,
    /// Places that were stored before the run.
    pub found: i64,
    /// Those of them with a doubt.
    pub doubted: i64,
}

impl Store {
    /// The doubts of a run, ordered by place id, from the one after `after` on; at most `limit`.
    ///
    /// # Errors
    /// When the database fails, or holds a value that this version does not know.
    pub async fn doubts(&self, run: RunId, after: Option<&PlaceId>, limit: i64) -> Result<Vec<Doubt>, Error> {
        let rows = sqlx::query!(
            r#"select place.place_id, kind, place.name, new.name as "new_name!", new.category_name, new.category_group_code,
                 new.phone, new.address, new.road_address, new.latitude as "latitude!", new.longitude as "longitude!", new.url,
                 array(select keyword_id from place_keyword
                     where place_keyword.place_id = place.place_id and last_seen_run = $1) as "keywords!"
             from place_doubt join place using (place_id)
             cross join lateral jsonb_populate_record(null::place, content) as new
             where crawl_run_id = $1 and place.place_id > $2 order by place.place_id limit $3"#,
            run.0,
            after.map_or("", PlaceId::as_str),
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let content = Place {
                    id: stored_id(&row.place_id)?,
                    name: row.new_name,
                    category_name: row.category_name,
                    category_group_code: row.category_group_code,
                    phone: row.phone,
                    address: row.address,
                    road_address: row.road_address,
                    position: stored_position(row.latitude, row.longitude)?,
                    url: row.url,
                };
                let keywords = row.keywords.into_iter().map(KeywordId).collect();
                Ok(Doubt { kind: kind(&row.kind)?, name: row.name, keywords, content })
            })
            .collect()
    }

    /// The tally of each keyword that has a doubt in a run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn doubt_tallies(&self, run: RunId) -> Result<Vec<DoubtTally>, Error> {
        let rows = sqlx::query!(
            r#"select keyword_id, count(*) as "known!", count(doubt.place_id) as "doubted!"
             from place_keyword found join place using (place_id)
             left join place_doubt doubt on doubt.place_id = found.place_id and doubt.crawl_run_id = $1
             where last_seen_run = $1 and place.first_seen_at < (select started_at from crawl_run where crawl_run_id = $1)
             group by keyword_id having count(doubt.place_id) > 0 order by keyword_id"#,
            run.0
        )
        .fetch_all(&self.pool)
        .await?;
        let tally = |keyword, found, doubted| DoubtTally { keyword: KeywordId(keyword), found, doubted };
        Ok(rows.into_iter().map(|row| tally(row.keyword_id, row.known, row.doubted)).collect())
    }

    /// Stores confirmed content, and counts the requests that confirmed it.
    ///
    /// # Errors
    /// When another process has taken over the run or the database fails.
    pub async fn store_confirmed(
        &self,
        fence: Fence,
        stations: &StationMap,
        confirmed: Confirmed<'_>,
        now: DateTime<Utc>,
    ) -> Result<Written, Error> {
        let mut batch = self.batch(fence, stations, now).await?;
        let written = places::refresh(&mut batch, confirmed.places).await?;
        runs::count_traffic(&mut batch, confirmed.traffic, written).await?;
        batch.commit().await?;
        Ok(written)
    }
}

/// Deletes the doubts of a finished run.
pub(super) async fn drop_all(connection: &mut PgConnection, run: RunId) -> Result<(), Error> {
    sqlx::query!("delete from place_doubt where crawl_run_id = $1", run.0).execute(connection).await?;
    Ok(())
}

fn kind(word: &str) -> Result<DoubtKind, Error> {
    match word {
        "moved" => Ok(DoubtKind::Moved),
        "nameless" => Ok(DoubtKind::Nameless),
        "blanked" => Ok(DoubtKind::Blanked),
        other => Err(Error::Unknown { table: "place_doubt", column: "kind", value: other.to_owned() }),
    }
}
