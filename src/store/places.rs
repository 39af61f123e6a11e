//! Places, by which keyword they were found, and near which stations they lie.
//!
//! A listing is geometry: it is computed from a place's position and the live stations when the place is new, has moved
//! or was found by a further keyword. What did not change is not written, except the narrow stamps.

mod content;
mod listings;
mod looks;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, Written};
use crate::domain::cell::{CellArea, CellNo, Outcome};
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::place::{Place, PlaceId};
use crate::domain::run::RunId;
use crate::domain::station::StationMap;

use listings::Listed;

pub(super) use listings::{hide, relist};
pub(super) use looks::reopen;

/// A place that one keyword found.
pub(super) type Link = (PlaceId, KeywordId);

/// Stores the places of some outcomes: content, stamps, listings, and what of it is news.
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
    let stored = content::write(connection, run, &places, now).await?;
    let unlisted = stamp(connection, run, (&links, &places), now).await?;
    let at = |link: Link| (link.clone(), places[&link.0].position);
    let positions: BTreeMap<Link, LatLng> = unlisted.into_iter().map(at).collect();
    looks::tell_opened(connection, run, stations, &positions, now).await?;
    let mut listed = move_listings(connection, stations, &stored.moved, &places).await?;
    listed.extend(positions.into_iter().map(|(link, position)| (link, Listed { position, gone_at: None })));
    listings::list(connection, stations, &listed).await?;
    Ok(stored.written)
}

/// Stores the content of places that were found otherwise than by their keywords.
pub(super) async fn refresh(
    connection: &mut PgConnection,
    run: RunId,
    stations: &StationMap,
    places: &[Place],
    now: DateTime<Utc>,
) -> Result<Written, Error> {
    let places: BTreeMap<&PlaceId, &Place> = places.iter().map(|place| (&place.id, place)).collect();
    let stored = content::write(connection, run, &places, now).await?;
    let listed = move_listings(connection, stations, &stored.moved, &places).await?;
    listings::list(connection, stations, &listed).await?;
    Ok(stored.written)
}

/// Removes the listings of places that moved, and returns what is to be listed where they are now.
async fn move_listings(
    connection: &mut PgConnection,
    stations: &StationMap,
    moved: &[(PlaceId, LatLng)],
    places: &BTreeMap<&PlaceId, &Place>,
) -> Result<BTreeMap<Link, Listed>, Error> {
    if moved.is_empty() {
        return Ok(BTreeMap::new());
    }
    listings::unlist(connection, stations, moved).await?;
    let positions = moved.iter().map(|(id, _)| (id.clone(), places[id].position)).collect();
    listings::of(connection, &positions).await
}

/// Notes that this run found these places, and returns the links that are new, or were given up before.
async fn stamp(
    connection: &mut PgConnection,
    run: RunId,
    (links, found): (&BTreeMap<Link, Option<CellNo>>, &BTreeMap<&PlaceId, &Place>),
    now: DateTime<Utc>,
) -> Result<Vec<Link>, Error> {
    let places: Vec<String> = links.keys().map(|(place, _)| place.as_str().to_owned()).collect();
    let keywords: Vec<i32> = links.keys().map(|(_, keyword)| keyword.0).collect();
    let cells: Vec<Option<i32>> = links.values().map(|cell| cell.map(|CellNo(no)| no)).collect();
    let degrees = |of: fn(LatLng) -> f64| links.keys().map(|(id, _)| of(found[id].position)).collect::<Vec<_>>();
    // xmax is zero in a row that was inserted, not updated.
    let rows = sqlx::query!(
        "with incoming as (
             select * from unnest($1::text[], $2::int[], $5::int[], $6::float8[], $7::float8[])
                 as t (place_id, keyword_id, cell_no, longitude, latitude)
         ), gone as (
             select place_id, keyword_id from incoming join place_keyword using (place_id, keyword_id)
             where gone_at is not null
         ), stamped as (
             insert into place_keyword as known
                 (place_id, keyword_id, first_seen_at, last_seen_run, last_seen_cell, position)
             select place_id, keyword_id, $4, $3, cell_no, point(longitude, latitude) from incoming
             on conflict (place_id, keyword_id) do update
             set last_seen_run = excluded.last_seen_run, last_seen_cell = excluded.last_seen_cell, misses = 0,
                 missing_since = null, gone_at = null, confirmed_run = null
             where (known.last_seen_run, known.last_seen_cell, known.misses)
                 is distinct from (excluded.last_seen_run, excluded.last_seen_cell, 0::smallint)
             returning place_id, keyword_id, xmax = 0 as is_new
         )
         select place_id, keyword_id from stamped
         where is_new or (place_id, keyword_id) in (select place_id, keyword_id from gone)",
        &places,
        &keywords,
        run.0,
        now,
        &cells as &[Option<i32>],
        &degrees(LatLng::longitude),
        &degrees(LatLng::latitude)
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(|row| Ok((stored_id(&row.place_id)?, KeywordId(row.keyword_id)))).collect()
}

pub(super) fn stored_id(id: &str) -> Result<PlaceId, Error> {
    PlaceId::parse(id).ok_or_else(|| Error::Unknown { table: "place", column: "place_id", value: id.to_owned() })
}

pub(super) fn stored_position(latitude: f64, longitude: f64) -> Result<LatLng, Error> {
    LatLng::new(latitude, longitude).map_err(|error| Error::Unknown {
        table: "place",
        column: "latitude, longitude",
        value: error.to_string(),
    })
}
