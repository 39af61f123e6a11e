//! Areas that need many requests, and areas in which cells fail.

use sqlx::PgConnection;

use crate::domain::geo::LatLng;
use crate::store::Error;

/// The position of an area: a station, or the centre of a rectangle.
#[derive(Clone, Debug, PartialEq)]
pub enum AreaPosition {
    /// Around this station.
    Station(String),
    /// A rectangle with this centre.
    Rectangle(LatLng),
}

/// An area that took many requests.
#[derive(Clone, Debug, PartialEq)]
pub struct BusyArea {
    /// Its position.
    pub position: AreaPosition,
    /// Requests that were sent for it.
    pub requests: i64,
    /// Pages that were read.
    pub pages: i64,
    /// Different places on these pages; a place that two keywords find counts twice.
    pub places: i64,
}

/// An area in which cells failed.
#[derive(Clone, Debug, PartialEq)]
pub struct FailingArea {
    /// Its position.
    pub position: AreaPosition,
    /// Number of cells that failed twice.
    pub failed: i64,
    /// Number of cells that failed once and recovered.
    pub once: i64,
    /// Their keywords.
    pub keywords: Vec<String>,
    /// Why the last one failed.
    pub error: Option<String>,
}

/// A cell that failed twice.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedCell {
    /// Its position.
    pub position: AreaPosition,
    /// The area in the words of the view `run_failure`.
    pub area: String,
    /// Its keyword.
    pub keyword: String,
    /// Requests that were sent for it.
    pub requests: i32,
    /// Why it last failed.
    pub error: Option<String>,
}

/// A position from its columns: the name of a station, or the centre of a rectangle.
fn position(name: Option<String>, latitude: Option<f64>, longitude: Option<f64>) -> Option<AreaPosition> {
    match (name, latitude, longitude) {
        (Some(name), _, _) => Some(AreaPosition::Station(name)),
        (None, Some(latitude), Some(longitude)) => LatLng::new(latitude, longitude).ok().map(AreaPosition::Rectangle),
        (None, _, _) => None,
    }
}

/// The areas that took the most requests in these runs.
pub(super) async fn busy(connection: &mut PgConnection, runs: &[i64], limit: i64) -> Result<Vec<BusyArea>, Error> {
    let rows = sqlx::query!(
        r#"select s.name as "name?", (c.south + c.north) / 2 as latitude, (c.west + c.east) / 2 as longitude,
             c.requests as "requests!", c.pages as "pages!", c.places as "places!"
         from (
             select station_id, south, north, west, east, sum(attempts) as requests, sum(pages) as pages, sum(places) as places
             from crawl_cell
             where crawl_run_id = any($1)
             group by 1, 2, 3, 4, 5
             having sum(attempts) > 0
             order by sum(attempts) desc, sum(pages), 1, 2, 4
             limit $2
         ) c
         left join station s using (station_id)
         order by c.requests desc, c.pages, s.name"#,
        runs,
        limit
    )
    .fetch_all(connection)
    .await?;
    let areas = rows.into_iter().filter_map(|row| {
        let position = position(row.name, row.latitude, row.longitude)?;
        Some(BusyArea { position, requests: row.requests, pages: row.pages, places: row.places })
    });
    Ok(areas.collect())
}

/// The areas of these runs in which cells failed, those that failed twice first.
pub(super) async fn failing(
    connection: &mut PgConnection,
    runs: &[i64],
    limit: i64,
) -> Result<Vec<FailingArea>, Error> {
    let rows = sqlx::query!(
        r#"select s.name as "name?", (c.south + c.north) / 2 as latitude, (c.west + c.east) / 2 as longitude,
             c.failed as "failed!", c.once as "once!", c.keywords as "keywords!", c.errors[1] as error
         from (
             select station_id, south, north, west, east, count(*) filter (where status = 'failed') as failed,
                 count(*) filter (where status <> 'failed') as once, array_agg(distinct k.query) as keywords,
                 array_agg(error order by crawl_run_id desc, cell_no desc) filter (where error is not null) as errors
             from crawl_cell
             join keyword k using (keyword_id)
             where crawl_run_id = any($1) and (status = 'failed' or failures > 0)
             group by 1, 2, 3, 4, 5
             order by 6 desc, 7 desc, 1, 2, 4
             limit $2
         ) c
         left join station s using (station_id)
         order by c.failed desc, c.once desc, s.name"#,
        runs,
        limit
    )
    .fetch_all(connection)
    .await?;
    let areas = rows.into_iter().filter_map(|row| {
        let position = position(row.name, row.latitude, row.longitude)?;
        let (failed, once, keywords) = (row.failed, row.once, row.keywords);
        Some(FailingArea { position, failed, once, keywords, error: row.error })
    });
    Ok(areas.collect())
}

/// Cells of a run that failed twice.
pub(super) async fn failed(connection: &mut PgConnection, run: i64, limit: i64) -> Result<Vec<FailedCell>, Error> {
    let rows = sqlx::query!(
        r#"select f.station_name, (c.south + c.north) / 2 as latitude, (c.west + c.east) / 2 as longitude, f.area as "area!",
             f.keyword as "keyword!", f.attempts as "attempts!", f.error
         from run_failure f
         join crawl_cell c using (crawl_run_id, cell_no)
         where f.crawl_run_id = $1 and f.status = 'failed'
         order by f.cell_no limit $2"#,
        run,
        limit
    )
    .fetch_all(connection)
    .await?;
    let cells = rows.into_iter().filter_map(|row| {
        let position = position(row.station_name, row.latitude, row.longitude)?;
        let (area, keyword, requests, error) = (row.area, row.keyword, row.attempts, row.error);
        Some(FailedCell { position, area, keyword, requests, error })
    });
    Ok(cells.collect())
}
