//! The canaries of a run: what they can ask for, and what they found.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::places::{stored_id, stored_position};
use super::{Error, Fence, NamedPlace, PlannedCell, Store, Written, cells, runs};
use crate::domain::cell::Traffic;
use crate::domain::drift::Canaries;
use crate::domain::keyword::KeywordId;
use crate::domain::place::PlaceId;
use crate::domain::run::{Coverage, RunId};
use crate::domain::station::{StationId, StationMap};

/// A keyword and a station around which everything is known, and places that have been known for long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Familiar {
    /// The station and the keyword; `None`: no search around these stations was complete.
    pub pair: Option<(StationId, KeywordId)>,
    /// The nearest places of this pair, each with its distance from the station in metres.
    pub places: Vec<(PlaceId, i32)>,
    /// How many places the pair has.
    pub count: usize,
    /// The places near these stations that have been known for the longest time.
    pub named: Vec<NamedPlace>,
}

/// What the canaries of a run found, and what that changes.
#[derive(Clone, Copy, Debug)]
pub struct Checked<'a> {
    /// What they found.
    pub canaries: &'a Canaries,
    /// Their requests.
    pub traffic: Traffic,
    /// The cells of the run if rectangles are of no use.
    pub around_stations: &'a [PlannedCell],
}

/// Where something familiar is looked for, and how much of it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Around these stations.
    pub stations: &'a [StationId],
    /// Within this radius, in metres.
    pub radius_m: u32,
    /// Maximum number of places of a pair.
    pub places: usize,
    /// Maximum number of places to ask for by name.
    pub names: usize,
    /// Other numbers choose other pairs and other places, so that one odd place is not asked for in every run.
    pub number: i64,
}

/// Number of places of a pair with which it is good enough: more than one page of them.
const GOOD_ENOUGH: i64 = 16;

/// Number of places among which those that are asked for by name are chosen.
const CANDIDATES: i64 = 60;

impl Store {
    /// What is known around some stations: a pair of station and keyword, and places to ask for by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn familiar(&self, wanted: Wanted<'_>) -> Result<Familiar, Error> {
        let near: Vec<i32> = wanted.stations.iter().map(|station| station.0).collect();
        let limit = |most: usize| i64::try_from(most).unwrap_or(i64::MAX);
        // A pair that was complete within a smaller radius is not known in this one.
        let pair = sqlx::query!(
            r#"select l.station_id, l.keyword_id, count(*) as "places!" from listing l
             join station_keyword c using (station_id, keyword_id)
             join place_keyword m using (place_id, keyword_id) join keyword k using (keyword_id)
             where l.station_id = any($1) and l.gone_at is null and c.complete_since is not null and c.radius_m >= $2
                 and m.misses = 0 and k.retired_at is null
             group by l.station_id, l.keyword_id
             order by least(count(*), $3) desc, md5(concat_ws(' ', $4::bigint, l.station_id, l.keyword_id)) limit 1"#,
            &near,
            i32::try_from(wanted.radius_m).unwrap_or(i32::MAX),
            GOOD_ENOUGH,
            wanted.number
        )
        .fetch_optional(&self.pool)
        .await?;
        let named = self.long_known(&near, limit(wanted.names), wanted.number).await?;
        let Some(pair) = pair else { return Ok(Familiar { named, ..Familiar::default() }) };
        let rows = sqlx::query!(
            "select l.place_id, l.distance_m from listing l join place_keyword m using (place_id, keyword_id)
             where l.station_id = $1 and l.keyword_id = $2 and l.gone_at is null and m.misses = 0
             order by l.distance_m fetch first ($3) rows with ties",
            pair.station_id,
            pair.keyword_id,
            limit(wanted.places)
        )
        .fetch_all(&self.pool)
        .await?;
        let places = rows.into_iter().map(|row| Ok((stored_id(&row.place_id)?, row.distance_m)));
        Ok(Familiar {
            pair: Some((StationId(pair.station_id), KeywordId(pair.keyword_id))),
            places: places.collect::<Result<_, Error>>()?,
            count: usize::try_from(pair.places).unwrap_or_default(),
            named,
        })
    }

    /// Some of the open places near some stations that have been known for the longest time.
    async fn long_known(&self, stations: &[i32], most: i64, number: i64) -> Result<Vec<NamedPlace>, Error> {
        let rows = sqlx::query!(
            "select place_id, name, latitude, longitude from (
                 select place_id, name, latitude, longitude from place
                 where closed_at is null and place_id in (
                     select place_id from listing l join place_keyword m using (place_id, keyword_id)
                     where l.station_id = any($1) and l.gone_at is null and m.misses = 0 and m.confirmed_run is null)
                 order by first_seen_at, place_id limit $2) oldest
             order by md5(concat_ws(' ', $3::bigint, place_id)) limit $4",
            stations,
            CANDIDATES,
            number,
            most
        )
        .fetch_all(&self.pool)
        .await?;
        let places = rows.into_iter().map(|row| {
            let (id, position) = (stored_id(&row.place_id)?, stored_position(row.latitude, row.longitude)?);
            Ok(NamedPlace { id, name: row.name, position })
        });
        places.collect()
    }

    /// What the canaries of a run found; `None` if they were not sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn canaries(&self, run: RunId) -> Result<Option<Canaries>, Error> {
        let found = sqlx::query_scalar!(
            r#"select canaries as "canaries: Json<Canaries>" from crawl_run where crawl_run_id = $1"#,
            run.0
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(found.map(|Json(canaries)| canaries))
    }

    /// Records what the canaries of a run found, and their requests. If rectangles are of no use, the cells of the run are
    /// replaced; none of them has been searched yet.
    ///
    /// # Errors
    /// When another process has taken over the run or the database fails.
    pub async fn record_canaries(
        &self,
        fence: Fence,
        stations: &StationMap,
        checked: Checked<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let Checked { canaries, traffic, around_stations } = checked;
        let mut batch = self.batch(fence, stations, now).await?;
        runs::count_traffic(&mut batch, traffic, Written::default()).await?;
        sqlx::query!(
            "update crawl_run set canaries = $2 where crawl_run_id = $1",
            fence.run.0,
            Json(canaries) as Json<&Canaries>
        )
        .execute(&mut *batch.transaction)
        .await?;
        if canaries.are_rectangles_useless() {
            let radius_m = batch.radius_m();
            sqlx::query!("delete from crawl_cell where crawl_run_id = $1", fence.run.0)
                .execute(&mut *batch.transaction)
                .await?;
            cells::insert(&mut batch.transaction, fence.run, 1, Some(radius_m), around_stations).await?;
            sqlx::query!(
                "update crawl_run set coverage = $2, cells_total = $3 where crawl_run_id = $1",
                fence.run.0,
                Coverage::Station.as_str(),
                i32::try_from(around_stations.len()).unwrap_or(i32::MAX)
            )
            .execute(&mut *batch.transaction)
            .await?;
        }
        batch.commit().await
    }
}
