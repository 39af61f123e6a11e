//! What earlier runs did not see: a place is told to have opened, or to be back, only on ground that was shown completely
//! before.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Link;
use crate::domain::geo::{LatLng, MARGIN_M};
use crate::domain::run::RunId;
use crate::domain::station::StationMap;
use crate::store::Error;

/// Links, each with a station around which it lies well within the radius.
#[derive(Debug, Default)]
struct Grounds {
    places: Vec<String>,
    keywords: Vec<i32>,
    stations: Vec<i32>,
}

impl Grounds {
    /// On the very edge, the API may see a place on the other side.
    fn of<'a>(stations: &StationMap, links: impl IntoIterator<Item = (&'a Link, LatLng)>) -> Self {
        let within_m = i32::try_from(stations.radius_m()).unwrap_or(i32::MAX) - MARGIN_M - 1;
        let mut grounds = Self::default();
        for ((place, keyword), position) in links {
            for (station, _) in stations.around(position).filter(|(_, distance_m)| *distance_m <= within_m) {
                grounds.places.push(place.as_str().to_owned());
                grounds.keywords.push(keyword.0);
                grounds.stations.push(station.0);
            }
        }
        grounds
    }
}

/// Tells of places that are new in this run that they opened, where the ground of one of their keywords was complete before.
/// What a run finds of its own ground is recorded at its end, so until then `station_keyword` says what was before.
pub(super) async fn tell_opened(
    connection: &mut PgConnection,
    run: RunId,
    stations: &StationMap,
    links: &BTreeMap<Link, LatLng>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let grounds = Grounds::of(stations, links.iter().map(|(link, position)| (link, *position)));
    if grounds.places.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into place_change
             (place_id, crawl_run_id, kind, after, latitude, longitude, not_before, not_after, recorded_at)
         select place.place_id, crawl_run_id, 'opened',
             to_jsonb(place) - '{place_id,first_seen_at,changed_at,closed_at}'::text[], latitude, longitude,
             least(max(known.complete_at), $6), $6, $6
         from unnest($1::text[], $2::int[], $3::int[]) as t (place_id, keyword_id, station_id)
         join station_keyword known using (station_id, keyword_id)
         join crawl_run run on run.crawl_run_id = $4 and run.coverage = known.coverage
         join place using (place_id)
         where known.complete_since is not null and known.radius_m = $5 and place.first_seen_at >= run.started_at
         and not exists (select from place_change told where told.place_id = place.place_id and told.kind = 'opened')
         group by place.place_id, crawl_run_id",
        &grounds.places,
        &grounds.keywords,
        &grounds.stations,
        run.0,
        i32::try_from(stations.radius_m()).unwrap_or(i32::MAX),
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Opens closed places that this run has found, and tells of them; returns how many.
pub(in crate::store) async fn reopen(
    connection: &mut PgConnection,
    run: RunId,
    stations: &StationMap,
    now: DateTime<Utc>,
) -> Result<u64, Error> {
    let rows = sqlx::query!(
        "select place_id, keyword_id, latitude, longitude from place join place_keyword using (place_id)
         where closed_at is not null and last_seen_run = $1",
        run.0
    )
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut links = BTreeMap::new();
    for row in rows {
        let link = (super::stored_id(&row.place_id)?, crate::domain::keyword::KeywordId(row.keyword_id));
        links.insert(link, super::stored_position(row.latitude, row.longitude)?);
    }
    let places: Vec<String> = links.keys().map(|(place, _)| place.as_str().to_owned()).collect();
    let grounds = Grounds::of(stations, links.iter().map(|(link, position)| (link, *position)));
    let reopened = sqlx::query!(
        "with look as (
             select place_id, max(complete_at) as at
             from unnest($3::text[], $4::int[], $5::int[]) as t (place_id, keyword_id, station_id)
             join station_keyword using (station_id, keyword_id)
             join crawl_run run on crawl_run_id = $2 and run.coverage = station_keyword.coverage
             where complete_since is not null and radius_m = $7
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
             latitude, longitude, least(greatest(closed_at, look.at), $6), $6, $6
         from closed left join look using (place_id)",
        &places,
        run.0,
        &grounds.places,
        &grounds.keywords,
        &grounds.stations,
        now,
        i32::try_from(stations.radius_m()).unwrap_or(i32::MAX)
    )
    .execute(connection)
    .await?;
    Ok(reopened.rows_affected())
}
