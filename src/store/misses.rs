//! What was looked for and not found: links that a run has not seen again, and what becomes of them.

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::PgConnection;

use super::places::{self, stored_id, stored_position};
use super::{Error, Fence, Store, Written, runs};
use crate::domain::cell::Traffic;
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::place::{Place, PlaceId};
use crate::domain::run::RunId;
use crate::domain::station::StationMap;

/// How many links go into one statement.
const CHUNK: usize = 10_000;

/// A link of a keyword to a place that a run looked for and did not find.
#[derive(Clone, Debug, PartialEq)]
pub struct Miss {
    /// The place.
    pub place: PlaceId,
    /// The keyword.
    pub keyword: KeywordId,
    /// Where the place was.
    pub position: LatLng,
    /// How often in a row it has been missed now, this time included.
    pub times: u32,
}

/// An open place that no keyword would find any more.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaving {
    /// The place.
    pub id: PlaceId,
    /// Its name.
    pub name: String,
    /// Where it was.
    pub position: LatLng,
}

/// What misses did to the tables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missed {
    pub(super) places_missed: u64,
    pub(super) places_closed: u64,
}

impl Store {
    /// Shows the links of some keywords that are not given up: the keyword, where the place is, and whether the run has found
    /// it. Those that were missed before, or are only found by name, are no news and left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn for_each_link(
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

    /// The links of some keywords that a run has not found where `is_missed` says that it looked for them. Those whose place
    /// was confirmed in this run are left out.
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

    /// The open places that would be left without any keyword in use if these links were given up, those that are missing
    /// longest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leaving(&self, links: &[Miss]) -> Result<Vec<Leaving>, Error> {
        let (places, keywords) = columns(links);
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
                Ok(Leaving { id: stored_id(&row.place_id)?, name: row.name, position })
            })
            .collect()
    }

    /// Stores what asking for places by their names brought: those that are there stay open, and what it cost is counted.
    ///
    /// # Errors
    /// When the run is no longer ours or the database fails.
    pub async fn confirm(
        &self,
        fence: Fence,
        stations: &StationMap,
        (there, traffic): (&[Place], Traffic),
        now: DateTime<Utc>,
    ) -> Result<Written, Error> {
        let mut transaction = self.pool.begin().await?;
        runs::hold(&mut transaction, fence).await?;
        let ids: Vec<String> = there.iter().map(|place| place.id.as_str().to_owned()).collect();
        sqlx::query!(
            "update place_keyword set misses = 0, missing_since = null, confirmed_run = $2
             where place_id = any($1) and gone_at is null",
            &ids,
            fence.run.0
        )
        .execute(&mut *transaction)
        .await?;
        let written = places::refresh(&mut transaction, fence.run, stations, there, now).await?;
        runs::count_traffic(&mut transaction, fence.run, traffic, written, now).await?;
        transaction.commit().await?;
        Ok(written)
    }
}

fn columns(links: &[Miss]) -> (Vec<String>, Vec<i32>) {
    links.iter().map(|miss| (miss.place.as_str().to_owned(), miss.keyword.0)).unzip()
}

/// Counts misses, gives up the links among them that are `gone`, and closes the places that no keyword is left for.
pub(super) async fn apply(
    connection: &mut PgConnection,
    run: RunId,
    stations: &StationMap,
    (missed, gone): (&[Miss], &[Miss]),
    now: DateTime<Utc>,
) -> Result<Missed, Error> {
    let mut places: Vec<&PlaceId> = missed.iter().chain(gone).map(|miss| &miss.place).collect();
    places.sort_unstable();
    places.dedup();
    let mut counts = Missed { places_missed: places.len() as u64, places_closed: 0 };
    for chunk in missed.chunks(CHUNK) {
        count(connection, run, chunk, (None, now)).await?;
    }
    for chunk in gone.chunks(CHUNK) {
        count(connection, run, chunk, (Some(now), now)).await?;
        let links: Vec<_> = chunk.iter().map(|miss| ((miss.place.clone(), miss.keyword), miss.position)).collect();
        places::hide(connection, stations, links.iter().map(|(link, position)| (link, *position)), now).await?;
    }
    for chunk in gone.chunks(CHUNK) {
        counts.places_closed += close(connection, run, chunk, now).await?;
    }
    Ok(counts)
}

/// One miss more for these links, which are given up at `gone_at`, if at all.
async fn count(
    connection: &mut PgConnection,
    run: RunId,
    links: &[Miss],
    (gone_at, now): (Option<DateTime<Utc>>, DateTime<Utc>),
) -> Result<(), Error> {
    let (places, keywords) = columns(links);
    sqlx::query!(
        "update place_keyword link set misses = least(misses::int + 1, 32767)::smallint,
             missing_since = coalesce(missing_since, $4), gone_at = $5
         from unnest($1::text[], $2::int[]) as t (place_id, keyword_id)
         where link.place_id = t.place_id and link.keyword_id = t.keyword_id and gone_at is null and last_seen_run < $3",
        &places,
        &keywords,
        run.0,
        now,
        gone_at
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Closes those of these places that no keyword in use finds any more, as of the first look that did not, and tells so.
async fn close(connection: &mut PgConnection, run: RunId, links: &[Miss], now: DateTime<Utc>) -> Result<u64, Error> {
    let (places, _) = columns(links);
    let closed = sqlx::query!(
        "with leaving as (
             select place.*, max(link.missing_since) as missing_since,
                 max(greatest(link.last_seen_run, link.confirmed_run)) as last_look
             from place join place_keyword link using (place_id)
             where place_id = any($1) and closed_at is null and not exists (
                 select from place_keyword other join keyword using (keyword_id)
                 where other.place_id = place.place_id and other.gone_at is null and retired_at is null)
             group by place.place_id
         ), dated as (
             select leaving.*, run.started_at as seen_at, greatest(missing_since, run.started_at) as first_miss
             from leaving left join crawl_run run on crawl_run_id = last_look
         ), closed as (
             update place set closed_at = first_miss, changed_at = $3 from dated where place.place_id = dated.place_id
         )
         insert into place_change (place_id, crawl_run_id, kind, before, latitude, longitude, not_before, not_after,
             recorded_at)
         select place_id, $2, 'closed', content.fields, latitude, longitude, seen_at, first_miss, $3
         from dated
         cross join lateral (
             select jsonb_object_agg(key, value) as fields from jsonb_each(to_jsonb(dated))
             where key in ('name', 'category_name', 'category_group_code', 'phone', 'address', 'road_address', 'latitude',
                 'longitude', 'url')
         ) content",
        &places,
        run.0,
        now
    )
    .execute(connection)
    .await?;
    Ok(closed.rows_affected())
}
