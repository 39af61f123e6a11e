//! Coverage: how completely each keyword was searched around each station, and where the known places are.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{Error, Store};
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::run::RunId;
use crate::domain::station::StationId;

/// How well a station was covered for a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StationCoverage {
    /// The station.
    pub station: StationId,
    /// The keyword.
    pub keyword: KeywordId,
    /// Whether the API provably returned every place.
    pub is_complete: bool,
    /// Whether the API counted more places than it returned.
    pub is_truncated: bool,
    /// Number of places found; `None`: count the listings.
    pub places: Option<i32>,
}

/// Records how well a run covered its stations, dated to its start. A run that read the failed cells of an earlier run again
/// is dated to the start of that run, because it completes the coverage of that run. Earlier coverage counts only if its radius and its
/// `coverage` are the same.
pub(super) async fn record(
    connection: &mut PgConnection,
    run: RunId,
    radius_m: u32,
    coverage: &[StationCoverage],
) -> Result<(), Error> {
    let listed =
        if coverage.iter().any(|one| one.places.is_none()) { listed(connection).await? } else { BTreeMap::new() };
    let places = |one: &StationCoverage| {
        one.places.unwrap_or_else(|| listed.get(&(one.station, one.keyword)).copied().unwrap_or(0))
    };
    sqlx::query!(
        "insert into station_keyword as known
             (station_id, keyword_id, radius_m, coverage, complete_since, complete_at, truncated, places)
         select station_id, keyword_id, $6, run.coverage, since.instant, since.instant, t.truncated, t.places
         from unnest($1::int[], $2::int[], $3::bool[], $4::bool[], $5::int[])
             as t (station_id, keyword_id, complete, truncated, places)
         join crawl_run run on crawl_run_id = coalesce(
             (select (scope ->> 'failed_cells_of')::bigint from crawl_run where crawl_run_id = $7), $7)
         cross join lateral (select case when t.complete then run.started_at end) as since (instant)
         on conflict (station_id, keyword_id) do update set
             radius_m = excluded.radius_m,
             coverage = excluded.coverage,
             complete_since = case
                 when (known.radius_m, known.coverage) = (excluded.radius_m, excluded.coverage)
                 and excluded.complete_at is not null
                 then coalesce(known.complete_since, excluded.complete_since)
                 else excluded.complete_since end,
             complete_at = case
                 when (known.radius_m, known.coverage) = (excluded.radius_m, excluded.coverage)
                 then greatest(excluded.complete_at, known.complete_at)
                 else coalesce(excluded.complete_at, known.complete_at) end,
             truncated = excluded.truncated,
             places = excluded.places",
        &coverage.iter().map(|one| one.station.0).collect::<Vec<_>>(),
        &coverage.iter().map(|one| one.keyword.0).collect::<Vec<_>>(),
        &coverage.iter().map(|one| one.is_complete).collect::<Vec<_>>(),
        &coverage.iter().map(|one| one.is_truncated).collect::<Vec<_>>(),
        &coverage.iter().map(places).collect::<Vec<_>>(),
        i32::try_from(radius_m).unwrap_or(i32::MAX),
        run.0
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Number of places listed at each station, by keyword.
async fn listed(connection: &mut PgConnection) -> Result<BTreeMap<(StationId, KeywordId), i32>, Error> {
    let rows = sqlx::query!(
        r#"select station_id, keyword_id, count(*)::int as "places!" from listing where gone_at is null group by 1, 2"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| ((StationId(row.station_id), KeywordId(row.keyword_id)), row.places)).collect())
}

impl Store {
    /// Positions of places that a run found in a rectangle before dividing it, and not again in the sub-rectangles.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lost_in_pieces(&self, run: RunId) -> Result<Vec<(KeywordId, LatLng)>, Error> {
        let split =
            sqlx::query_scalar!("select cell_no from crawl_cell where crawl_run_id = $1 and status = 'split'", run.0)
                .fetch_all(&self.pool)
                .await?;
        if split.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query!(
            "select keyword_id, latitude, longitude from place_keyword join place using (place_id)
             where last_seen_run = $1 and last_seen_cell = any($2)",
            run.0,
            &split
        )
        .fetch_all(&self.pool)
        .await?;
        let lost = rows
            .into_iter()
            .filter_map(|row| Some((KeywordId(row.keyword_id), LatLng::new(row.latitude, row.longitude).ok()?)));
        Ok(lost.collect())
    }
}
