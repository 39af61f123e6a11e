//! Stores places, the keywords that found them (matches), and the stations that they are near (listings).
//!
//! A listing follows from the positions of a place and of the stations in use. It is computed when a place is new, has moved
//! or is found by another keyword. A place that has not changed is not written; only `place_keyword.last_seen_run` is.

mod content;
mod listings;
mod openings;

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Batch;
use super::{Error, Written};
use crate::domain::cell::{CellArea, CellNo, Outcome};
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::place::{Place, PlaceId};

use content::Trust;
use listings::Listed;

pub(super) use listings::{drop_matches, relist};
pub(super) use openings::reopen;

/// A match: a place, and a keyword that found it.
pub(super) type Match = (PlaceId, KeywordId);

/// Stores the places of some outcomes: content, matches, listings and changes.
pub(super) async fn upsert(batch: &mut Batch<'_>, outcomes: &[&Outcome]) -> Result<Written, Error> {
    // Each place once, with its latest content: PostgreSQL refuses an upsert with the same key twice. Sorted, so that two
    // transactions lock rows in the same order.
    let mut places: BTreeMap<&PlaceId, &Place> = BTreeMap::new();
    let mut matches: BTreeMap<Match, Option<CellNo>> = BTreeMap::new();
    for outcome in outcomes {
        // The cell is recorded for rectangles only: review looks for places that a divided rectangle has lost.
        let cell = matches!(outcome.cell.area, CellArea::Within(_)).then_some(outcome.cell.no);
        for place in &outcome.places {
            places.insert(&place.id, place);
            matches.insert((place.id.clone(), outcome.cell.keyword), cell);
        }
    }
    if batch.are_openings_held {
        let known = listings::known(&mut batch.transaction, &places).await?;
        matches.retain(|found, _| known.contains(found));
        let left: BTreeSet<&PlaceId> = matches.keys().map(|(place, _)| place).collect();
        places.retain(|id, _| left.contains(*id));
    }
    let stored = content::write(batch, &places, Trust::Unconfirmed).await?;
    // A place whose new position must be confirmed stays listed at its stored position.
    let position = |id: &PlaceId| stored.doubted.get(id).copied().unwrap_or_else(|| places[id].position);
    let positions: BTreeMap<PlaceId, LatLng> = places.keys().map(|id| ((*id).clone(), position(id))).collect();
    let Stamped { places_seen, unlisted } = stamp(batch, &matches, &positions).await?;
    let at = |found: Match| (found.clone(), positions[&found.0]);
    let positions: BTreeMap<Match, LatLng> = unlisted.into_iter().map(at).collect();
    openings::record_opened(batch, &positions).await?;
    let mut listed = move_listings(batch, &stored.moved, &places).await?;
    listed.extend(positions.into_iter().map(|(found, position)| (found, Listed { position, gone_at: None })));
    listings::list(&mut batch.transaction, batch.stations, &listed).await?;
    Ok(Written { places_seen, ..stored.written })
}

/// Stores content that was confirmed by a search for the name.
pub(super) async fn refresh(batch: &mut Batch<'_>, places: &[Place]) -> Result<Written, Error> {
    let places: BTreeMap<&PlaceId, &Place> = places.iter().map(|place| (&place.id, place)).collect();
    let stored = content::write(batch, &places, Trust::Confirmed).await?;
    let listed = move_listings(batch, &stored.moved, &places).await?;
    listings::list(&mut batch.transaction, batch.stations, &listed).await?;
    Ok(stored.written)
}

/// Removes the listings of moved places at their old positions, and returns those to insert at the new ones.
async fn move_listings(
    batch: &mut Batch<'_>,
    moved: &[(PlaceId, LatLng)],
    places: &BTreeMap<&PlaceId, &Place>,
) -> Result<BTreeMap<Match, Listed>, Error> {
    if moved.is_empty() {
        return Ok(BTreeMap::new());
    }
    listings::unlist(&mut batch.transaction, batch.stations, moved).await?;
    let positions = moved.iter().map(|(id, _)| (id.clone(), places[id].position)).collect();
    listings::of(&mut batch.transaction, &positions).await
}

/// The result of [`stamp`].
struct Stamped {
    /// How many places the run had not found before.
    places_seen: u32,
    /// The matches that are new, or were dropped before.
    unlisted: Vec<Match>,
}

/// Records that this run found these places.
async fn stamp(
    batch: &mut Batch<'_>,
    matches: &BTreeMap<Match, Option<CellNo>>,
    positions: &BTreeMap<PlaceId, LatLng>,
) -> Result<Stamped, Error> {
    let places: Vec<String> = matches.keys().map(|(place, _)| place.as_str().to_owned()).collect();
    let keywords: Vec<i32> = matches.keys().map(|(_, keyword)| keyword.0).collect();
    let cells: Vec<Option<i32>> = matches.values().map(|cell| cell.map(|CellNo(no)| no)).collect();
    let degrees = |of: fn(LatLng) -> f64| matches.keys().map(|(id, _)| of(positions[id])).collect::<Vec<_>>();
    // xmax is zero in a row that was inserted, not updated. seen_before reads last_seen_run as it was before this statement. It
    // names the places in a list, so that the index is used even where the tables have no statistics.
    let rows = sqlx::query!(
        r#"with incoming as (
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
         ), seen_before as (
             select count(distinct place_id) as places from place_keyword
             where place_id = any($1) and last_seen_run = $3
         )
         select places as "places!", place_id as "place_id?", keyword_id as "keyword_id?"
         from seen_before left join stamped
         on is_new or (place_id, keyword_id) in (select place_id, keyword_id from gone)"#,
        &places,
        &keywords,
        batch.run.0,
        batch.now,
        &cells as &[Option<i32>],
        &degrees(LatLng::longitude),
        &degrees(LatLng::latitude)
    )
    .fetch_all(&mut *batch.transaction)
    .await?;
    let seen_before = rows.first().map_or(0, |row| row.places);
    let places_seen = i64::try_from(positions.len()).unwrap_or(i64::MAX) - seen_before;
    let unlisted = rows.into_iter().filter_map(|row| row.place_id.zip(row.keyword_id));
    let unlisted = unlisted.map(|(place, keyword)| Ok((stored_id(&place)?, KeywordId(keyword))));
    Ok(Stamped {
        places_seen: u32::try_from(places_seen).unwrap_or(0),
        unlisted: unlisted.collect::<Result<_, Error>>()?,
    })
}

pub(super) fn stored_id(id: &str) -> Result<PlaceId, Error> {
    PlaceId::stored(id).ok_or_else(|| Error::Unknown { table: "place", column: "place_id", value: id.to_owned() })
}

pub(super) fn stored_position(latitude: f64, longitude: f64) -> Result<LatLng, Error> {
    LatLng::new(latitude, longitude).map_err(|error| Error::Unknown {
        table: "place",
        column: "latitude, longitude",
        value: error.to_string(),
    })
}
