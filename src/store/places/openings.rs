//! Records opened and reopened places.
//!
//! A new place is recorded as opened only if an earlier run searched the area around one of its stations completely for one of
//! its keywords. Elsewhere the place may have existed before, and earlier runs may have missed it.

use std::collections::BTreeMap;

use super::Match;
use crate::domain::geo::{LatLng, MARGIN_M};
use crate::domain::station::StationMap;
use crate::store::Error;
use crate::store::batch::Batch;

/// One row for each match and each station near the place, in the form of columns.
#[derive(Debug, Default)]
struct NearStations {
    places: Vec<String>,
    keywords: Vec<i32>,
    stations: Vec<i32>,
}

impl NearStations {
    /// Includes a station only if the place lies more than `MARGIN_M` (2 m) inside its radius. Closer to the edge, a search around
    /// the station may have left the place out although it existed.
    fn of<'a>(stations: &StationMap, matches: impl IntoIterator<Item = (&'a Match, LatLng)>) -> Self {
        let within_m = i32::try_from(stations.radius_m()).unwrap_or(i32::MAX) - MARGIN_M - 1;
        let mut near = Self::default();
        for ((place, keyword), position) in matches {
            for (station, _) in stations.around(position).filter(|(_, distance_m)| *distance_m <= within_m) {
                near.places.push(place.as_str().to_owned());
                near.keywords.push(keyword.0);
                near.stations.push(station.0);
            }
        }
        near
    }
}

/// Records the places among `matches` that are new in this run as opened, if an earlier run searched their area completely.
///
/// A run updates `station_keyword` when it is finished. Until then the table describes earlier runs.
pub(super) async fn record_opened(batch: &mut Batch<'_>, matches: &BTreeMap<Match, LatLng>) -> Result<(), Error> {
    let near = NearStations::of(batch.stations, matches.iter().map(|(found, position)| (found, *position)));
    if near.places.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into place_change
             (place_id, crawl_run_id, kind, after, latitude, longitude, not_before, not_after, recorded_at)
         select place.place_id, crawl_run_id, 'opened',
             place_content(place), latitude, longitude,
             least(max(known.complete_at), $6), $6, $6
         from unnest($1::text[], $2::int[], $3::int[]) as t (place_id, keyword_id, station_id)
         join station_keyword known using (station_id, keyword_id)
         join crawl_run run on run.crawl_run_id = $4 and run.coverage = known.coverage
         join place using (place_id)
         where known.complete_since is not null and known.radius_m = $5 and place.first_seen_at >= run.started_at
         and not exists (select from place_change earlier where earlier.place_id = place.place_id and earlier.kind = 'opened')
         group by place.place_id, crawl_run_id",
        &near.places,
        &near.keywords,
        &near.stations,
        batch.run.0,
        batch.radius_m(),
        batch.now
    )
    .execute(&mut *batch.transaction)
    .await?;
    Ok(())
}

/// Reopens the closed places that this run found: clears `closed_at` and writes a change of kind `reopened`. Returns the number
/// of these places.
pub(in crate::store) async fn reopen(batch: &mut Batch<'_>) -> Result<u64, Error> {
    let rows = sqlx::query!(
        "select place_id, keyword_id, latitude, longitude from place join place_keyword using (place_id)
         where closed_at is not null and last_seen_run = $1",
        batch.run.0
    )
    .fetch_all(&mut *batch.transaction)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut matches = BTreeMap::new();
    for row in rows {
        let found = (super::stored_id(&row.place_id)?, crate::domain::keyword::KeywordId(row.keyword_id));
        matches.insert(found, super::stored_position(row.latitude, row.longitude)?);
    }
    let places: Vec<String> = matches.keys().map(|(place, _)| place.as_str().to_owned()).collect();
    let near = NearStations::of(batch.stations, matches.iter().map(|(found, position)| (found, *position)));
    let reopened = sqlx::query!(
        "with observation as (
             select place_id, max(complete_at) as at
             from unnest($3::text[], $4::int[], $5::int[]) as t (place_id, keyword_id, station_id)
             join station_keyword using (station_id, keyword_id)
             join crawl_run run on crawl_run_id = $2 and run.coverage = station_keyword.coverage
             where complete_since is not null and station_keyword.radius_m = $7
             group by place_id
         ), closed as (
             select * from place where place_id = any($1) and closed_at is not null
         ), reopened as (
             update place set closed_at = null, changed_at = $6 from closed where place.place_id = closed.place_id
         )
         insert into place_change
             (place_id, crawl_run_id, kind, is_replaced, latitude, longitude, not_before, not_after, recorded_at)
         select place_id, $2, 'reopened',
             exists (select from place_change other
                 where other.place_id = closed.place_id and other.crawl_run_id = $2 and other.is_replaced),
             latitude, longitude, least(greatest(closed_at, observation.at), $6), $6, $6
         from closed left join observation using (place_id)",
        &places,
        batch.run.0,
        &near.places,
        &near.keywords,
        &near.stations,
        batch.now,
        batch.radius_m()
    )
    .execute(&mut *batch.transaction)
    .await?;
    Ok(reopened.rows_affected())
}
