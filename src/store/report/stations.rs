//! Places around each station, and the coverage of each keyword.

use sqlx::PgConnection;

use crate::domain::geo::LatLng;
use crate::store::Error;

/// A station in use with its places and its coverage.
#[derive(Clone, Debug)]
pub struct StationReport {
    /// Its name.
    pub name: String,
    /// Its network.
    pub region: String,
    /// The lines that stop there.
    pub lines: Vec<String>,
    /// Its position.
    pub position: LatLng,
    /// Open places within its radius.
    pub places: i64,
    /// Keywords for which the API counted more places than it returned.
    pub truncated: Vec<String>,
    /// Number of keywords for which every place was returned.
    pub complete: i64,
}

/// How well a keyword in use is covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeywordCoverage {
    /// The keyword.
    pub keyword: String,
    /// Number of stations around which every place was returned.
    pub complete: i64,
    /// Number of stations around which the API counted more places than it returned.
    pub truncated: i64,
    /// Number of places that it finds.
    pub places: i64,
}

/// The stations in use, from north to south.
pub(super) async fn all(connection: &mut PgConnection) -> Result<Vec<StationReport>, Error> {
    let rows = sqlx::query!(
        r#"select s.name, s.region, s.lines, s.latitude, s.longitude, coalesce(near.places, 0) as "places!",
             coalesce(covered.truncated, '{}') as "truncated!", coalesce(covered.complete, 0) as "complete!"
         from station s
         left join (
             select station_id, count(distinct place_id) as places from listing where gone_at is null group by 1
         ) near using (station_id)
         left join (
             select c.station_id, array_agg(k.query order by k.query) filter (where c.truncated) as truncated,
                 count(c.complete_since) as complete
             from station_keyword c join keyword k using (keyword_id)
             where k.retired_at is null
             group by 1
         ) covered using (station_id)
         where s.retired_at is null
         order by s.latitude desc, s.station_id"#
    )
    .fetch_all(connection)
    .await?;
    let stations = rows.into_iter().filter_map(|row| {
        Some(StationReport {
            name: row.name,
            region: row.region,
            lines: row.lines,
            // The table's checks allow no other values.
            position: LatLng::new(row.latitude, row.longitude).ok()?,
            places: row.places,
            truncated: row.truncated,
            complete: row.complete,
        })
    });
    Ok(stations.collect())
}

/// The keywords in use, those with the most places first.
pub(super) async fn keywords(connection: &mut PgConnection) -> Result<Vec<KeywordCoverage>, Error> {
    Ok(sqlx::query_as!(
        KeywordCoverage,
        r#"select k.query as keyword, coalesce(covered.complete, 0) as "complete!", coalesce(covered.truncated, 0) as "truncated!",
             coalesce(found.places, 0) as "places!"
         from keyword k
         left join (
             select c.keyword_id, count(c.complete_since) as complete, count(*) filter (where c.truncated) as truncated
             from station_keyword c join station s using (station_id)
             where s.retired_at is null
             group by 1
         ) covered using (keyword_id)
         left join (
             select keyword_id, count(*) as places from place_keyword where gone_at is null group by 1
         ) found using (keyword_id)
         where k.retired_at is null
         order by 4 desc, k.query"#
    )
    .fetch_all(connection)
    .await?)
}
