//! Listings: one row for each match and each station whose radius contains the place. They are computed from positions, so it
//! does not matter which cell found the place.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::{Executor as _, PgConnection};

use super::{Match, stored_id, stored_position};
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::place::{Place, PlaceId};
use crate::domain::station::{StationId, StationMap};
use crate::store::Error;
use crate::store::batch::Batch;

/// Number of places that are read at a time while all listings are recomputed.
const CHUNK: i64 = 5_000;

/// The values from which the listings of a match are computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    /// The position of the place.
    pub(super) position: LatLng,
    /// When the match was dropped; `None` while it counts.
    pub(super) gone_at: Option<DateTime<Utc>>,
}

/// Reads the matches of these places, including dropped ones, and combines each with the given position of its place. Matches
/// of retired keywords are left out.
pub(super) async fn of(
    connection: &mut PgConnection,
    positions: &BTreeMap<PlaceId, LatLng>,
) -> Result<BTreeMap<Match, Listed>, Error> {
    let places: Vec<String> = positions.keys().map(|id| id.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        "select place_id, keyword_id, gone_at from place_keyword join keyword using (keyword_id)
         where place_id = any($1) and retired_at is null",
        &places
    )
    .fetch_all(connection)
    .await?;
    let mut listed = BTreeMap::new();
    for row in rows {
        let place = stored_id(&row.place_id)?;
        let position = positions[&place];
        listed.insert((place, KeywordId(row.keyword_id)), Listed { position, gone_at: row.gone_at });
    }
    Ok(listed)
}

/// The matches of these places that are not dropped.
pub(super) async fn known(
    connection: &mut PgConnection,
    places: &BTreeMap<&PlaceId, &Place>,
) -> Result<BTreeSet<Match>, Error> {
    let places: Vec<String> = places.keys().map(|id| id.as_str().to_owned()).collect();
    let rows = sqlx::query!(
        "select place_id, keyword_id from place_keyword where place_id = any($1) and gone_at is null",
        &places
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((stored_id(&row.place_id)?, KeywordId(row.keyword_id)))).collect()
}

/// Deletes the listings of places that have moved: those at the stations around their former positions, which `moved` gives.
pub(super) async fn unlist(
    connection: &mut PgConnection,
    stations: &StationMap,
    moved: &[(PlaceId, LatLng)],
) -> Result<(), Error> {
    let mut ids = Vec::new();
    let mut near = Vec::new();
    for (place, before) in moved {
        for (station, _) in stations.around(*before) {
            ids.push(place.as_str().to_owned());
            near.push(station.0);
        }
    }
    // Joining all keywords provides the second column of the primary key (station, keyword, place). Without it the index could
    // not be searched by place.
    sqlx::query!(
        "delete from listing l using unnest($1::text[], $2::int[]) as t (place_id, station_id), keyword k
         where l.station_id = t.station_id and l.keyword_id = k.keyword_id and l.place_id = t.place_id",
        &ids,
        &near
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts or updates the listings of these matches, at every station whose radius contains the place. Rows that are already
/// correct are not written.
pub(super) async fn list(
    connection: &mut PgConnection,
    stations: &StationMap,
    listed: &BTreeMap<Match, Listed>,
) -> Result<(), Error> {
    let mut columns: (Vec<i32>, Vec<i32>, Vec<String>, Vec<i32>) = Default::default();
    let mut gone_at = Vec::new();
    for ((place, keyword), listed) in listed {
        for (station, distance_m) in stations.around(listed.position) {
            gone_at.push(listed.gone_at);
            columns.0.push(station.0);
            columns.1.push(keyword.0);
            columns.2.push(place.as_str().to_owned());
            columns.3.push(distance_m);
        }
    }
    sqlx::query!(
        "insert into listing as l (station_id, keyword_id, place_id, distance_m, gone_at)
         select * from unnest($1::int[], $2::int[], $3::text[], $4::int[], $5::timestamptz[])
         on conflict (station_id, keyword_id, place_id) do update
         set distance_m = excluded.distance_m, gone_at = excluded.gone_at
         where (l.distance_m, l.gone_at) is distinct from (excluded.distance_m, excluded.gone_at)",
        &columns.0,
        &columns.1,
        &columns.2,
        &columns.3,
        &gone_at as &[Option<DateTime<Utc>>]
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Recomputes all listings after the stations, the keywords or the radius changed.
///
/// First deletes the listings of `stale` stations (those that moved or were retired), those of retired keywords, and those
/// outside the radius. Then inserts or updates the listings of all matches; rows that are already correct are not written.
pub(in crate::store) async fn relist(
    connection: &mut PgConnection,
    stations: &StationMap,
    stale: &[StationId],
) -> Result<(), Error> {
    // It may delete millions of rows at once, which also get their places new versions. It ends with the transaction.
    connection.execute("set local statement_timeout = '30min'").await?;
    let stale: Vec<i32> = stale.iter().map(|station| station.0).collect();
    let radius_m = i32::try_from(stations.radius_m()).unwrap_or(i32::MAX);
    sqlx::query!(
        "delete from listing l using keyword k
         where l.keyword_id = k.keyword_id
         and (k.retired_at is not null or l.station_id = any($1) or l.distance_m >= $2)",
        &stale,
        radius_m
    )
    .execute(&mut *connection)
    .await?;
    let mut after = String::new();
    loop {
        let rows = sqlx::query!(
            "select place_id, latitude, longitude from place where place_id > $1 order by place_id limit $2",
            after,
            CHUNK
        )
        .fetch_all(&mut *connection)
        .await?;
        let Some(last) = rows.last() else { break };
        after.clone_from(&last.place_id);
        let mut at = BTreeMap::new();
        for row in rows {
            at.insert(stored_id(&row.place_id)?, stored_position(row.latitude, row.longitude)?);
        }
        let listed = of(connection, &at).await?;
        list(connection, stations, &listed).await?;
    }
    Ok(())
}

/// Sets `gone_at` in the listings of matches that are dropped now. The rows are kept.
pub(in crate::store) async fn drop_matches<'a>(
    batch: &mut Batch<'_>,
    matches: impl IntoIterator<Item = (&'a Match, LatLng)>,
) -> Result<(), Error> {
    let mut columns: (Vec<i32>, Vec<i32>, Vec<String>) = Default::default();
    for ((place, keyword), position) in matches {
        for (station, _) in batch.stations.around(position) {
            columns.0.push(station.0);
            columns.1.push(keyword.0);
            columns.2.push(place.as_str().to_owned());
        }
    }
    sqlx::query!(
        "update listing l set gone_at = $4
         from unnest($1::int[], $2::int[], $3::text[]) as t (station_id, keyword_id, place_id)
         where l.station_id = t.station_id and l.keyword_id = t.keyword_id and l.place_id = t.place_id
         and l.gone_at is null",
        &columns.0,
        &columns.1,
        &columns.2,
        batch.now
    )
    .execute(&mut *batch.transaction)
    .await?;
    Ok(())
}
