//! Listings: which places lie within the radius of which stations. Geometry, whichever search found the place.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Link, stored_id, stored_position};
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::place::PlaceId;
use crate::domain::station::{StationId, StationMap};
use crate::store::Error;

/// How many places a recomputation of the listings takes at a time.
const CHUNK: i64 = 5_000;

/// Where a place is listed, and since when it is given up for the keyword.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed {
    pub(super) position: LatLng,
    pub(super) gone_at: Option<DateTime<Utc>>,
}

/// What is to be listed of places at these positions: by every keyword in use, those that gave a place up included.
pub(super) async fn of(
    connection: &mut PgConnection,
    positions: &BTreeMap<PlaceId, LatLng>,
) -> Result<BTreeMap<Link, Listed>, Error> {
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

/// Removes the listings of places that moved, where they were before.
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
    // Through all keywords, so that the primary key leads to the rows.
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

/// Lists places at every station within the radius.
pub(super) async fn list(
    connection: &mut PgConnection,
    stations: &StationMap,
    listed: &BTreeMap<Link, Listed>,
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

/// Computes all listings anew, after stations, keywords or the radius changed; rows that stay true are not rewritten.
///
/// `stale` are the stations that moved or were retired, so that nothing else need be compared.
pub(in crate::store) async fn relist(
    connection: &mut PgConnection,
    stations: &StationMap,
    stale: &[StationId],
) -> Result<(), Error> {
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

/// Takes places that were given up for a keyword from the listings; the rows stay, and say since when.
pub(in crate::store) async fn hide<'a>(
    connection: &mut PgConnection,
    stations: &StationMap,
    links: impl IntoIterator<Item = (&'a Link, LatLng)>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let mut columns: (Vec<i32>, Vec<i32>, Vec<String>) = Default::default();
    for ((place, keyword), position) in links {
        for (station, _) in stations.around(position) {
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
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}
