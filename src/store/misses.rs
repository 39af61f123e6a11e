//! Misses: matches that a run searched for and did not find, and the closing of places without a match.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;

use super::batch::Batch;
use super::places::{self, stored_id, stored_position};
use super::{Error, Fence, Store, Written, runs};
use crate::domain::cell::Traffic;
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::place::{Place, PlaceId};
use crate::domain::run::RunId;
use crate::domain::station::StationMap;

/// Number of matches per statement.
const CHUNK: usize = 10_000;

/// A match that a run searched for and did not find.
#[derive(Clone, Debug, PartialEq)]
pub struct Miss {
    /// The place.
    pub place: PlaceId,
    /// The keyword.
    pub keyword: KeywordId,
    /// Where the place was.
    pub position: LatLng,
    /// Number of consecutive misses, including this one.
    pub times: u32,
}

/// A place that is searched for by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedPlace {
    /// The place.
    pub id: PlaceId,
    /// Its name.
    pub name: String,
    /// Where it was.
    pub position: LatLng,
}

/// Places that a search by name has confirmed, and what the search cost.
#[derive(Clone, Copy, Debug)]
pub struct Confirmed<'a> {
    /// The places, with their newest content.
    pub places: &'a [Place],
    /// The requests that were sent, those without a result included.
    pub traffic: Traffic,
}

/// The result of [`apply`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missed {
    pub(super) places_missed: u64,
    pub(super) places_closed: u64,
}

impl Store {
    /// Calls `take` for each match of some keywords that is not dropped, with the keyword, the position of the place, and
    /// whether the run has found it. Matches already counted as missing, or only confirmed by name, are excluded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn for_each_match(
        &self,
        run: RunId,
        keywords: &[KeywordId],
        mut take: impl FnMut(KeywordId, LatLng, bool),
    ) -> Result<(), Error> {
        let keywords: Vec<i32> = keywords.iter().map(|keyword| keyword.0).collect();
        let mut rows = sqlx::query!(
            r#"select keyword_id, latitude, longitude, last_seen_run >= $1 as "is_found!"
             from place_keyword join place using (place_id)
             where keyword_id = any($2) and gone_at is null and misses = 0 and confirmed_run is null"#,
            run.0,
            &keywords
        )
        .fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            take(KeywordId(row.keyword_id), stored_position(row.latitude, row.longitude)?, row.is_found);
        }
        Ok(())
    }

    /// The matches of some keywords that a run has not found, where `is_missed` says that it searched for them. Places that
    /// this run has confirmed by name are excluded.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn misses(
        &self,
        run: RunId,
        keywords: &[KeywordId],
        is_missed: impl Fn(KeywordId, LatLng) -> bool,
    ) -> Result<Vec<Miss>, Error> {
        let keywords: Vec<i32> = keywords.iter().map(|keyword| keyword.0).collect();
        let mut rows = sqlx::query!(
            "select place_id, keyword_id, latitude, longitude, misses from place_keyword join place using (place_id)
             where keyword_id = any($2) and gone_at is null and last_seen_run < $1
             and confirmed_run is distinct from $1",
            run.0,
            &keywords
        )
        .fetch(&self.pool);
        let mut misses = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let (keyword, position) = (KeywordId(row.keyword_id), stored_position(row.latitude, row.longitude)?);
            if is_missed(keyword, position) {
                let times = u32::from(row.misses.unsigned_abs()) + 1;
                misses.push(Miss { place: stored_id(&row.place_id)?, keyword, position, times });
            }
        }
        Ok(misses)
    }

    /// The open places that would be left without a match of a keyword in use if these matches were dropped, those that have
    /// been missing longest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn left_without_match(&self, misses: &[Miss]) -> Result<Vec<NamedPlace>, Error> {
        let (places, keywords) = columns(misses);
        let rows = sqlx::query!(
            r#"with going as (
                 select place_id, count(*) as links from unnest($1::text[], $2::int[]) as t (place_id, keyword_id)
                 join keyword using (keyword_id) where retired_at is null group by place_id
             )
             select place_id as "place_id!", name, latitude, longitude
             from going join place using (place_id)
             join lateral (
                 select count(*) filter (where gone_at is null and retired_at is null) as links,
                     max(missing_since) as since
                 from place_keyword join keyword using (keyword_id) where place_keyword.place_id = place.place_id
             ) whole on whole.links = going.links
             where closed_at is null
             order by since nulls last, place_id"#,
            &places,
            &keywords
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let position = stored_position(row.latitude, row.longitude)?;
                Ok(NamedPlace { id: stored_id(&row.place_id)?, name: row.name, position })
            })
            .collect()
    }

    /// Stores the result of searching for places by name: confirmed places stay open, and the requests are counted. If the
    /// database refuses the new content of a place, the stored content stays.
    ///
    /// # Errors
    /// When another process has taken over the run or the database fails.
    pub async fn confirm(
        &self,
        fence: Fence,
        stations: &StationMap,
        confirmed: Confirmed<'_>,
        now: DateTime<Utc>,
    ) -> Result<Written, Error> {
        let batch = self.batch(fence, stations, now).await?;
        match confirm(batch, confirmed, confirmed.places).await {
            Err(error) if error.is_refusal() => confirm(self.batch(fence, stations, now).await?, confirmed, &[]).await,
            written => written,
        }
    }
}

/// Confirms places, and stores the content of some of them.
async fn confirm(mut batch: Batch<'_>, confirmed: Confirmed<'_>, contents: &[Place]) -> Result<Written, Error> {
    let ids: Vec<String> = confirmed.places.iter().map(|place| place.id.as_str().to_owned()).collect();
    sqlx::query!(
        "update place_keyword set misses = 0, missing_since = null, confirmed_run = $2
         where place_id = any($1) and gone_at is null",
        &ids,
        batch.run.0
    )
    .execute(&mut *batch.transaction)
    .await?;
    let written = places::refresh(&mut batch, contents).await?;
    runs::count_traffic(&mut batch, confirmed.traffic, written).await?;
    batch.commit().await?;
    Ok(written)
}

fn columns(misses: &[Miss]) -> (Vec<String>, Vec<i32>) {
    misses.iter().map(|miss| (miss.place.as_str().to_owned(), miss.keyword.0)).unzip()
}

/// Counts misses, drops the matches in `dropped`, and closes the places that are left without a match.
pub(super) async fn apply(batch: &mut Batch<'_>, missed: &[Miss], dropped: &[Miss]) -> Result<Missed, Error> {
    let mut places: Vec<&PlaceId> = missed.iter().chain(dropped).map(|miss| &miss.place).collect();
    places.sort_unstable();
    places.dedup();
    let now = batch.now;
    let mut counts = Missed { places_missed: places.len() as u64, places_closed: 0 };
    for chunk in missed.chunks(CHUNK) {
        count(batch, chunk, None).await?;
    }
    for chunk in dropped.chunks(CHUNK) {
        count(batch, chunk, Some(now)).await?;
        let matches: Vec<_> = chunk.iter().map(|miss| ((miss.place.clone(), miss.keyword), miss.position)).collect();
        places::drop_matches(batch, matches.iter().map(|(found, position)| (found, *position))).await?;
    }
    // Only now, because a place may have matches in several chunks.
    for chunk in dropped.chunks(CHUNK) {
        counts.places_closed += close(batch, chunk).await?;
    }
    Ok(counts)
}

/// Adds one miss to each of these matches, and sets when they were dropped, if they were.
async fn count(batch: &mut Batch<'_>, misses: &[Miss], gone_at: Option<DateTime<Utc>>) -> Result<(), Error> {
    let (places, keywords) = columns(misses);
    sqlx::query!(
        "update place_keyword found set misses = least(misses::int + 1, 32767)::smallint,
             missing_since = coalesce(missing_since, $4), gone_at = $5
         from unnest($1::text[], $2::int[]) as t (place_id, keyword_id)
         where found.place_id = t.place_id and found.keyword_id = t.keyword_id and gone_at is null and last_seen_run < $3",
        &places,
        &keywords,
        batch.run.0,
        batch.now,
        gone_at
    )
    .execute(&mut *batch.transaction)
    .await?;
    Ok(())
}

/// Closes the places of these misses that no keyword in use finds any more, as of the first run that missed them, and records
/// that.
async fn close(batch: &mut Batch<'_>, misses: &[Miss]) -> Result<u64, Error> {
    let (places, _) = columns(misses);
    let closed = sqlx::query!(
        "with unmatched as (
             select place_id, latitude, longitude, place_content(place) as content, max(found.missing_since) as missing_since,
                 max(greatest(found.last_seen_run, found.confirmed_run)) as last_observation
             from place join place_keyword found using (place_id)
             where place_id = any($1) and closed_at is null and not exists (
                 select from place_keyword other join keyword using (keyword_id)
                 where other.place_id = place.place_id and other.gone_at is null and retired_at is null)
             group by place.place_id
         ), dated as (
             select unmatched.*, run.started_at as seen_at, greatest(missing_since, run.started_at) as first_miss
             from unmatched left join crawl_run run on crawl_run_id = last_observation
         ), closed as (
             update place set closed_at = first_miss, changed_at = $3 from dated where place.place_id = dated.place_id
         )
         insert into place_change (place_id, crawl_run_id, kind, before, latitude, longitude, not_before, not_after,
             recorded_at)
         select place_id, $2, 'closed', content, latitude, longitude, seen_at, first_miss, $3 from dated",
        &places,
        batch.run.0,
        batch.now
    )
    .execute(&mut *batch.transaction)
    .await?;
    Ok(closed.rows_affected())
}
