//! How well stations are covered for a keyword, and what is known of the ground.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;
use sqlx::PgConnection;

use super::{Error, Fence, Store, cells, runs};
use crate::domain::cell::{CellArea, CellNo, Outcome, Shown};
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
    /// Whether all that the API found was shown, and that is proven.
    pub is_complete: bool,
    /// Whether the API found more than it showed.
    pub is_cut_off: bool,
}

/// Records how the cells of a batch that lie around stations cover them.
pub(super) async fn stamp(
    connection: &mut PgConnection,
    radius_m: u32,
    outcomes: &[&Outcome],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let around = outcomes.iter().filter_map(|outcome| {
        let (CellArea::Around(station), Some(shown)) = (outcome.cell.area, outcome.shown()) else { return None };
        let (is_complete, is_cut_off) = (shown == Shown::All, shown == Shown::Truncated);
        let coverage = StationCoverage { station, keyword: outcome.cell.keyword, is_complete, is_cut_off };
        Some((coverage, i32::try_from(outcome.places.len()).unwrap_or(i32::MAX)))
    });
    record(connection, radius_m, &around.collect::<Vec<_>>(), now).await
}

/// Records how well stations are covered, and how many places each has.
async fn record(
    connection: &mut PgConnection,
    radius_m: u32,
    coverage: &[(StationCoverage, i32)],
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into station_keyword as known
             (station_id, keyword_id, radius_m, complete_since, complete_at, cut_off, places)
         select station_id, keyword_id, $6, since.instant, since.instant, cut_off, places
         from unnest($1::int[], $2::int[], $3::bool[], $4::bool[], $5::int[])
             as t (station_id, keyword_id, complete, cut_off, places)
         cross join lateral (select case when complete then $7::timestamptz end) as since (instant)
         on conflict (station_id, keyword_id) do update set
             radius_m = excluded.radius_m,
             complete_since = case
                 when known.radius_m = excluded.radius_m and excluded.complete_at is not null
                 then coalesce(known.complete_since, excluded.complete_since)
                 else excluded.complete_since end,
             complete_at = coalesce(excluded.complete_at, known.complete_at),
             cut_off = excluded.cut_off,
             places = excluded.places",
        &coverage.iter().map(|(one, _)| one.station.0).collect::<Vec<_>>(),
        &coverage.iter().map(|(one, _)| one.keyword.0).collect::<Vec<_>>(),
        &coverage.iter().map(|(one, _)| one.is_complete).collect::<Vec<_>>(),
        &coverage.iter().map(|(one, _)| one.is_cut_off).collect::<Vec<_>>(),
        &coverage.iter().map(|(_, places)| *places).collect::<Vec<_>>(),
        i32::try_from(radius_m).unwrap_or(i32::MAX),
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// How many places are listed at each station, by keyword.
async fn listed(connection: &mut PgConnection) -> Result<BTreeMap<(StationId, KeywordId), i32>, Error> {
    let rows = sqlx::query!(
        r#"select station_id, keyword_id, count(*)::int as "places!" from listing where gone_at is null group by 1, 2"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| ((StationId(row.station_id), KeywordId(row.keyword_id)), row.places)).collect())
}

impl Store {
    /// Records how a run in rectangles covered its stations, and takes its proof from cells that showed too few places,
    /// each with how many.
    ///
    /// # Errors
    /// When the run is no longer ours or the database fails.
    pub async fn record_coverage(
        &self,
        fence: Fence,
        (radius_m, coverage): (u32, &[StationCoverage]),
        doubted: &BTreeMap<CellNo, i32>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        runs::hold(&mut transaction, fence).await?;
        cells::doubt(&mut transaction, fence.run, doubted).await?;
        let listed = listed(&mut transaction).await?;
        let places = |one: &StationCoverage| listed.get(&(one.station, one.keyword)).copied().unwrap_or(0);
        let coverage: Vec<_> = coverage.iter().map(|one| (*one, places(one))).collect();
        record(&mut transaction, radius_m, &coverage, now).await?;
        Ok(transaction.commit().await?)
    }

    /// Where the places are that a run has seen before it divided a rectangle, and not again in its pieces.
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

    /// Where the places are that each keyword has found. What the last full run in rectangles did not find is not there any
    /// more, or lies where nobody looks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_positions(&self) -> Result<BTreeMap<KeywordId, Vec<LatLng>>, Error> {
        let mut positions: BTreeMap<KeywordId, Vec<LatLng>> = BTreeMap::new();
        let mut rows = sqlx::query!(
            "select keyword_id, latitude, longitude from place_keyword join place using (place_id)
             where gone_at is null and last_seen_run >= coalesce((
                 select max(crawl_run_id) from crawl_run
                 where coverage = 'complete' and scope is null and status = 'succeeded'), 0)"
        )
        .fetch(&self.pool);
        while let Some(row) = rows.try_next().await? {
            if let Ok(position) = LatLng::new(row.latitude, row.longitude) {
                positions.entry(KeywordId(row.keyword_id)).or_default().push(position);
            }
        }
        Ok(positions)
    }
}
