//! Places, by which keyword they were found, and near which stations they lie.
//!
//! A listing is geometry: it is computed from a place's position and the live stations when the place is new, has moved
//! or was found by a further keyword. What did not change is not written, except the narrow stamps.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, Written};
use crate::domain::cell::{CellArea, CellNo, Outcome};
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::place::{Place, PlaceId};
use crate::domain::run::RunId;
use crate::domain::station::{StationId, StationMap};

/// A place that one keyword found.
type Link = (PlaceId, KeywordId);

/// How many places a recomputation of the listings takes at a time.
const CHUNK: i64 = 5_000;

/// Stores the places of some outcomes: content, stamps and listings.
pub(super) async fn upsert(
    connection: &mut PgConnection,
    run: RunId,
    stations: &StationMap,
    outcomes: &[&Outcome],
    now: DateTime<Utc>,
) -> Result<Written, Error> {
    // Each place once, sorted, with its latest content: the same key twice in a statement would be refused.
    let mut places: BTreeMap<&PlaceId, &Place> = BTreeMap::new();
    let mut links: BTreeMap<Link, Option<CellNo>> = BTreeMap::new();
    for outcome in outcomes {
        // Only of rectangles it is asked later which one has found a place.
        let cell = matches!(outcome.cell.area, CellArea::Within(_)).then_some(outcome.cell.no);
        for place in &outcome.places {
            places.insert(&place.id, place);
            links.insert((place.id.clone(), outcome.cell.keyword), cell);
        }
    }
    let (written, moved) = write_content(connection, &places, now).await?;
    let new_links = stamp(connection, run, &links, now).await?;
    let mut positions: BTreeMap<Link, LatLng> =
        new_links.into_iter().map(|link| (link.clone(), places[&link.0].position)).collect();
    if !moved.is_empty() {
        unlist(connection, stations, &moved).await?;
        for link in links_of(connection, moved.iter().map(|(id, _)| id.as_str().to_owned()).collect()).await? {
            let position = places[&link.0].position;
            positions.insert(link, position);
        }
    }
    list(connection, stations, &positions).await?;
    Ok(written)
}

/// Writes the places that are new or differ, and returns where those that moved were before.
async fn write_content(
    connection: &mut PgConnection,
    places: &BTreeMap<&PlaceId, &Place>,
    now: DateTime<Utc>,
) -> Result<(Written, Vec<(PlaceId, LatLng)>), Error> {
    let text = |value: fn(&Place) -> &str| places.values().map(|place| value(place).to_owned()).collect::<Vec<_>>();
    let optional =
        |value: fn(&Place) -> &Option<String>| places.values().map(|place| value(place).clone()).collect::<Vec<_>>();
    let degrees = |value: fn(LatLng) -> f64| places.values().map(|place| value(place.position)).collect::<Vec<_>>();
    let rows = sqlx::query!(
        r#"with incoming as (
             select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                 $8::float8[], $9::float8[], $10::text[])
                 as t (place_id, name, category_name, category_group_code, phone, address, road_address, latitude,
                 longitude, url)
         ), before as (
             select place_id, p.latitude, p.longitude from place p join incoming using (place_id)
         ), written as (
             insert into place as p (place_id, name, category_name, category_group_code, phone, address, road_address,
                 latitude, longitude, url, first_seen_at, changed_at)
             select *, $11, $11 from incoming
             on conflict (place_id) do update set
                 name = excluded.name, category_name = excluded.category_name,
                 category_group_code = excluded.category_group_code, phone = excluded.phone,
                 address = excluded.address, road_address = excluded.road_address, latitude = excluded.latitude,
                 longitude = excluded.longitude, url = excluded.url, changed_at = excluded.changed_at
             where (p.name, p.category_name, p.category_group_code, p.phone, p.address, p.road_address, p.latitude,
                 p.longitude, p.url) is distinct from (excluded.name, excluded.category_name,
                 excluded.category_group_code, excluded.phone, excluded.address, excluded.road_address,
                 excluded.latitude, excluded.longitude, excluded.url)
             returning place_id, latitude, longitude
         )
         select written.place_id, before.latitude as "latitude?", before.longitude as "longitude?",
             coalesce((before.latitude, before.longitude) <> (written.latitude, written.longitude), false) as "has_moved!"
         from written left join before using (place_id)"#,
        &text(|place| place.id.as_str()),
        &text(|place| &place.name),
        &optional(|place| &place.category_name) as &[Option<String>],
        &optional(|place| &place.category_group_code) as &[Option<String>],
        &optional(|place| &place.phone) as &[Option<String>],
        &optional(|place| &place.address) as &[Option<String>],
        &optional(|place| &place.road_address) as &[Option<String>],
        &degrees(LatLng::latitude),
        &degrees(LatLng::longitude),
        &optional(|place| &place.url) as &[Option<String>],
        now
    )
    .fetch_all(connection)
    .await?;
    let mut written = Written::default();
    let mut moved = Vec::new();
    for row in rows {
        match row.latitude.zip(row.longitude) {
            None => written.places_new += 1,
            Some((latitude, longitude)) => {
                written.places_changed += 1;
                if row.has_moved {
                    moved.push((stored_id(&row.place_id)?, stored_position(latitude, longitude)?));
                }
            }
        }
    }
    Ok((written, moved))
}

/// Notes that this run found these places, and returns the links that are new.
async fn stamp(
    connection: &mut PgConnection,
    run: RunId,
    links: &BTreeMap<Link, Option<CellNo>>,
    now: DateTime<Utc>,
) -> Result<Vec<Link>, Error> {
    let places: Vec<String> = links.keys().map(|(place, _)| place.as_str().to_owned()).collect();
    let keywords: Vec<i32> = links.keys().map(|(_, keyword)| keyword.0).collect();
    let cells: Vec<Option<i32>> = links.values().map(|cell| cell.map(|CellNo(no)| no)).collect();
    // xmax is zero in a row that was inserted, not updated.
    let rows = sqlx::query!(
        "with stamped as (
             insert into place_keyword as known (place_id, keyword_id, first_seen_at, last_seen_run, last_seen_cell)
             select place_id, keyword_id, $4, $3, cell_no
             from unnest($1::text[], $2::int[], $5::int[]) as t (place_id, keyword_id, cell_no)
             on conflict (place_id, keyword_id) do update
             set last_seen_run = excluded.last_seen_run, last_seen_cell = excluded.last_seen_cell, misses = 0,
                 missing_since = null
             where (known.last_seen_run, known.last_seen_cell, known.misses)
                 is distinct from (excluded.last_seen_run, excluded.last_seen_cell, 0::smallint)
             returning place_id, keyword_id, xmax = 0 as is_new
         )
         select place_id, keyword_id from stamped where is_new",
        &places,
        &keywords,
        run.0,
        now,
        &cells as &[Option<i32>]
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((stored_id(&row.place_id)?, KeywordId(row.keyword_id)))).collect()
}

/// All links of some places.
async fn links_of(connection: &mut PgConnection, places: Vec<String>) -> Result<Vec<Link>, Error> {
    let rows = sqlx::query!(
        "select place_id, keyword_id from place_keyword join keyword using (keyword_id)
         where place_id = any($1) and retired_at is null and gone_at is null",
        &places
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((stored_id(&row.place_id)?, KeywordId(row.keyword_id)))).collect()
}

/// Removes the listings of places that moved, where they were before.
async fn unlist(
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
async fn list(
    connection: &mut PgConnection,
    stations: &StationMap,
    positions: &BTreeMap<Link, LatLng>,
) -> Result<(), Error> {
    let mut columns: (Vec<i32>, Vec<i32>, Vec<String>, Vec<i32>) = Default::default();
    for ((place, keyword), position) in positions {
        for (station, distance_m) in stations.around(*position) {
            columns.0.push(station.0);
            columns.1.push(keyword.0);
            columns.2.push(place.as_str().to_owned());
            columns.3.push(distance_m);
        }
    }
    sqlx::query!(
        "insert into listing as l (station_id, keyword_id, place_id, distance_m)
         select * from unnest($1::int[], $2::int[], $3::text[], $4::int[])
         on conflict (station_id, keyword_id, place_id) do update set distance_m = excluded.distance_m, gone_at = null
         where l.distance_m <> excluded.distance_m or l.gone_at is not null",
        &columns.0,
        &columns.1,
        &columns.2,
        &columns.3
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Computes all listings anew, after stations, keywords or the radius changed; rows that stay true are not rewritten.
///
/// `stale` are the stations that moved or were retired, so that nothing else need be compared.
pub(super) async fn relist(
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
        let links = links_of(connection, at.keys().map(|id| id.as_str().to_owned()).collect()).await?;
        let positions = links.into_iter().map(|link| (link.clone(), at[&link.0])).collect();
        list(connection, stations, &positions).await?;
    }
    Ok(())
}

fn stored_id(id: &str) -> Result<PlaceId, Error> {
    PlaceId::parse(id).ok_or_else(|| Error::Unknown { table: "place", column: "place_id", value: id.to_owned() })
}

fn stored_position(latitude: f64, longitude: f64) -> Result<LatLng, Error> {
    LatLng::new(latitude, longitude).map_err(|error| Error::Unknown {
        table: "place",
        column: "latitude, longitude",
        value: error.to_string(),
    })
}
