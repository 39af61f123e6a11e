//! The amount of write-ahead log of a first run, of a run without changes, and of a run one week later.

use sanggwond::domain::station::Station;

use crate::crawl::Crawl;
use crate::database::Database;
use crate::table::Table;

/// A query for the number and the versions of the rows of listings, their places, and changes.
const VERSIONS: &str = "select md5(string_agg(row, ',' order by row)) from (
         select format('%s %s %s', place_id, xmin, ctid) from place where place_id in (select place_id from listing)
         union all select format('%s %s %s %s %s', station_id, keyword_id, place_id, xmin, ctid) from listing
         union all select format('%s', place_change_id) from place_change) versions (row)";

/// Crawls the same stations three times and prints the amount of write-ahead log.
pub(crate) async fn compare(table: &mut Table, all: &[Station]) -> anyhow::Result<()> {
    for coverage in ["station", "complete"] {
        table.section(
            &format!("Three weeks, coverage {coverage}: write-ahead log"),
            "By pg_current_wal_lsn(), all stations, the world of the demo; the second run finds an unchanged world, the third \
             one in which two of a hundred places are others. An unchanged week writes no row of listing or place_change, and \
             none of place but for what other rectangles than before show beside the circles for the first time.",
        )?;
        let mut database = Database::fresh().await;
        let mut versions: Option<String> = None;
        for (name, week) in [("first", 0), ("unchanged", 0), ("a week later", 1)] {
            let before = position(&database).await?;
            let crawl = Crawl { stations: all.len(), coverage, week, ..Crawl::AT_ONCE };
            let crawled = crawl.run_into(database).await?;
            database = crawled.database;
            let logged = position(&database).await? - before;
            table.line(&format!("{name}: MiB"), logged / f64::from(1 << 20), None)?;
            table.line(&format!("{name}: bytes per request"), logged / f64::from(crawled.summary.requests), None)?;
            let places = "select places_new::float8 from crawl_run order by crawl_run_id desc limit 1";
            let places: f64 = sqlx::query_scalar(places).fetch_one(&database.pool).await?;
            table.line(&format!("{name}: new places"), places, None)?;
            let now = sqlx::query_scalar(VERSIONS).fetch_one(&database.pool).await?;
            let is_as_before = name != "unchanged" || versions.as_ref() == Some(&now);
            anyhow::ensure!(is_as_before, "a run without changes has written rows");
            versions = Some(now);
        }
    }
    Ok(())
}

/// The end position of the server's write-ahead log, in bytes.
async fn position(database: &Database) -> anyhow::Result<f64> {
    let sql = "select (pg_current_wal_lsn() - '0/0')::float8";
    Ok(sqlx::query_scalar(sql).fetch_one(&database.pool).await?)
}
