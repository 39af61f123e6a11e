//! The tables `station` and `keyword`.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, Store, runs};
use crate::domain::geo::LatLng;
use crate::domain::inventory::{Difference, StoredInventory};
use crate::domain::keyword::{Keyword, KeywordId, StoredKeyword};
use crate::domain::station::{Station, StationId, StoredStation, recognise};

/// Number of rows that a retirement removes from `local_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowsLost {
    /// Rows to remove.
    pub lost: i64,
    /// All rows, including those to remove.
    pub total: i64,
}

impl Store {
    /// All stored stations and keywords, retired ones included, and the radius of the listings.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn inventory(&self) -> Result<StoredInventory, Error> {
        let mut connection = self.pool.acquire().await?;
        Ok(StoredInventory {
            stations: stations(&mut connection).await?,
            keywords: keywords(&mut connection).await?,
            radius_m: runs::listed_radius_m(&mut connection).await?.map(i32::unsigned_abs),
        })
    }

    /// Counts the rows of `local_info` that applying a difference would remove. The view has one row per station name, keyword
    /// and place.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rows_lost(&self, difference: &Difference) -> Result<RowsLost, Error> {
        let stations: Vec<i32> = difference.retired_stations.iter().map(|(station, _)| station.0).collect();
        let keywords: Vec<i32> = difference.retired_keywords.iter().map(|(keyword, _)| keyword.0).collect();
        let radius_m = difference.radius_m.map_or(i32::MAX, |(_, to)| i32::try_from(to).unwrap_or(i32::MAX));
        Ok(sqlx::query_as!(
            RowsLost,
            r#"select count(*) filter (where not stays) as "lost!", count(*) as "total!"
             from (
                 select bool_or(not (station_id = any($1) or keyword_id = any($2) or distance_m >= $3)) as stays
                 from listing join station using (station_id) group by station.name, keyword_id, place_id
             ) local_info"#,
            &stations,
            &keywords,
            radius_m
        )
        .fetch_one(&self.pool)
        .await?)
    }
}

/// All stored stations, retired ones included.
pub(super) async fn stations(connection: &mut PgConnection) -> Result<Vec<StoredStation>, Error> {
    let rows = sqlx::query!(
        "select station_id, name, region, lines, latitude, longitude, retired_at from station order by station_id"
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let position = LatLng::new(row.latitude, row.longitude).map_err(|error| Error::Unknown {
                table: "station",
                column: "latitude, longitude",
                value: error.to_string(),
            })?;
            let station = Station { name: row.name, region: row.region, lines: row.lines, position };
            Ok(StoredStation { id: StationId(row.station_id), station, is_retired: row.retired_at.is_some() })
        })
        .collect()
}

/// What a new station file changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shift {
    /// Stations that moved or were retired: their listings are outdated.
    pub(super) stale: Vec<StationId>,
    /// Whether stations were added or are no longer retired.
    pub(super) has_new: bool,
}

/// Makes the stored stations match the station file: inserts, updates and retires them.
pub(super) async fn sync_stations(
    connection: &mut PgConnection,
    wanted: &[Station],
    now: DateTime<Utc>,
) -> Result<Shift, Error> {
    let stored = stations(connection).await?;
    let ids = recognise(&stored, wanted);
    let by_id: BTreeMap<StationId, &StoredStation> = stored.iter().map(|station| (station.id, station)).collect();
    let mut shift = Shift::default();
    for (station, id) in wanted.iter().zip(&ids) {
        let Some(known) = id.map(|id| by_id[&id]) else {
            shift.has_new = true;
            insert_station(connection, station).await?;
            continue;
        };
        shift.has_new |= known.is_retired;
        if known.station.position != station.position {
            shift.stale.push(known.id);
        }
        if known.is_retired || known.station != *station {
            update_station(connection, known.id, station).await?;
        }
    }
    let recognised: BTreeSet<StationId> = ids.into_iter().flatten().collect();
    let vanished = stored.iter().filter(|known| !known.is_retired && !recognised.contains(&known.id));
    let vanished: Vec<i32> = vanished.map(|known| known.id.0).collect();
    sqlx::query!("update station set retired_at = $2 where station_id = any($1)", &vanished, now)
        .execute(&mut *connection)
        .await?;
    shift.stale.extend(vanished.into_iter().map(StationId));
    // A moved station has a new area that no run has covered, and a retired one is no longer searched.
    let stale: Vec<i32> = shift.stale.iter().map(|station| station.0).collect();
    sqlx::query!("update station_keyword set complete_since = null where station_id = any($1)", &stale)
        .execute(&mut *connection)
        .await?;
    doubt_unfinished(connection, &stale, &[]).await?;
    Ok(shift)
}

/// In runs that may still be resumed, marks the cells of these stations and keywords as not complete: they were searched with
/// the old position, or with the old keyword. A run that failed because of a refused key can be resumed, too.
async fn doubt_unfinished(connection: &mut PgConnection, stations: &[i32], keywords: &[i32]) -> Result<(), Error> {
    sqlx::query!(
        "update crawl_cell cell set complete = false from crawl_run run
         where run.crawl_run_id = cell.crawl_run_id and run.status in ('running', 'interrupted', 'failed')
         and cell.complete and (station_id = any($1) or keyword_id = any($2))",
        stations,
        keywords
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_station(connection: &mut PgConnection, station: &Station) -> Result<(), Error> {
    sqlx::query!(
        "insert into station (name, region, lines, latitude, longitude) values ($1, $2, $3, $4, $5)",
        station.name,
        station.region,
        &station.lines,
        station.position.latitude(),
        station.position.longitude()
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn update_station(connection: &mut PgConnection, id: StationId, station: &Station) -> Result<(), Error> {
    sqlx::query!(
        "update station set name = $2, region = $3, lines = $4, latitude = $5, longitude = $6, retired_at = null
         where station_id = $1",
        id.0,
        station.name,
        station.region,
        &station.lines,
        station.position.latitude(),
        station.position.longitude()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// All stored keywords, retired ones included.
pub(super) async fn keywords(connection: &mut PgConnection) -> Result<Vec<StoredKeyword>, Error> {
    let rows = sqlx::query!(
        r#"select keyword_id, query, category_group_code, retired_at is not null as "is_retired!"
         from keyword order by keyword_id"#
    )
    .fetch_all(connection)
    .await?;
    let stored = rows.into_iter().map(|row| {
        let keyword = Keyword::stored(row.query, row.category_group_code);
        StoredKeyword { id: KeywordId(row.keyword_id), keyword, is_retired: row.is_retired }
    });
    Ok(stored.collect())
}

/// Makes the stored keywords match the configured ones; returns whether any was added, changed, retired or reinstated.
pub(super) async fn sync_keywords(
    connection: &mut PgConnection,
    wanted: &[Keyword],
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let queries: Vec<String> = wanted.iter().map(|keyword| keyword.query().to_owned()).collect();
    let codes: Vec<Option<String>> =
        wanted.iter().map(|keyword| keyword.category_group_code().map(str::to_owned)).collect();
    let written = sqlx::query!(
        "insert into keyword as k (query, category_group_code)
         select query, code from unnest($1::text[], $2::text[]) with ordinality as t (query, code, rank) order by rank
         on conflict (query) do update set category_group_code = excluded.category_group_code, retired_at = null
         where k.retired_at is not null or k.category_group_code is distinct from excluded.category_group_code
         returning keyword_id",
        &queries,
        &codes as &[Option<String>]
    )
    .fetch_all(&mut *connection)
    .await?;
    // Earlier runs did not search for these keywords, or searched another category group, so their coverage does not count.
    let changed: Vec<i32> = written.iter().map(|row| row.keyword_id).collect();
    sqlx::query!("update station_keyword set complete_since = null where keyword_id = any($1)", &changed)
        .execute(&mut *connection)
        .await?;
    doubt_unfinished(connection, &[], &changed).await?;
    let retired =
        sqlx::query!("update keyword set retired_at = $2 where query <> all($1) and retired_at is null", &queries, now)
            .execute(connection)
            .await?;
    Ok(!changed.is_empty() || retired.rows_affected() > 0)
}
