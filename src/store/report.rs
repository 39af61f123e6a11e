//! The data of the report, read in one snapshot so that its parts agree.

mod areas;
mod runs;
mod stations;

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;

use super::usage::usage;
use super::{Error, Store};
use crate::domain::quota::Usage;

pub use areas::{AreaPosition, BusyArea, FailedCell, FailingArea};
pub use runs::{ReportRun, Usual};
pub use stations::{KeywordCoverage, StationReport};

/// Everything that the report shows.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// The last runs, newest first.
    pub runs: Vec<ReportRun>,
    /// The requests of this day and month.
    pub used: Usage,
    /// Recent changes in total.
    pub changed: Changes,
    /// Recent changes by keyword.
    pub changes: Vec<KeywordChanges>,
    /// How well each keyword in use is covered.
    pub keywords: Vec<KeywordCoverage>,
    /// The stations in use.
    pub stations: Vec<StationReport>,
    /// Number of full runs that the next two lists cover.
    pub runs_looked_at: usize,
    /// The areas that took the most requests in the newest full runs.
    pub busy: Vec<BusyArea>,
    /// The areas in which cells failed in the newest full runs.
    pub failing: Vec<FailingArea>,
    /// Cells of the newest full run that failed twice.
    pub failed: Vec<FailedCell>,
}

/// The limits of an overview.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The day in Seoul.
    pub today: NaiveDate,
    /// Number of runs.
    pub runs: i64,
    /// Changes recorded at or after this instant.
    pub changes_since: DateTime<Utc>,
    /// Number of full runs whose areas are evaluated.
    pub area_runs: i64,
    /// Number of areas in each list.
    pub areas: i64,
    /// Number of failed cells.
    pub failed_cells: i64,
}

/// Number of changes of each kind of `place_change`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named like the kinds, which are documented")]
pub struct Changes {
    pub opened: i64,
    pub changed: i64,
    pub closed: i64,
    pub reopened: i64,
}

/// The changes of places that a keyword found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeywordChanges {
    /// The keyword.
    pub keyword: String,
    /// Their numbers.
    pub changes: Changes,
}

impl Store {
    /// The last runs, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn report_runs(&self, count: i64) -> Result<Vec<ReportRun>, Error> {
        runs::last(&mut *self.pool.acquire().await?, count).await
    }

    /// Reads the data of the report.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn overview(&self, extent: Extent) -> Result<Overview, Error> {
        let mut snapshot = self.pool.begin_with("begin isolation level repeatable read read only").await?;
        let runs = runs::last(&mut snapshot, extent.runs).await?;
        let newest = runs::newest_ledgers(&mut snapshot, extent.area_runs).await?;
        let (changed, by_keyword) = changes(&mut snapshot, extent.changes_since).await?;
        let overview = Overview {
            runs,
            used: usage(&mut snapshot, extent.today).await?,
            changed,
            changes: by_keyword,
            keywords: stations::keywords(&mut snapshot).await?,
            stations: stations::all(&mut snapshot).await?,
            runs_looked_at: newest.len(),
            busy: areas::busy(&mut snapshot, &newest, extent.areas).await?,
            failing: areas::failing(&mut snapshot, &newest, extent.areas).await?,
            failed: match newest.first() {
                Some(run) => areas::failed(&mut snapshot, *run, extent.failed_cells).await?,
                None => Vec::new(),
            },
        };
        snapshot.commit().await?;
        Ok(overview)
    }
}

/// Changes in total and by keyword in use. A change counts for every keyword that found its place, and once in the total.
async fn changes(connection: &mut PgConnection, since: DateTime<Utc>) -> Result<(Changes, Vec<KeywordChanges>), Error> {
    let all = sqlx::query_as!(
        Changes,
        r#"select count(*) filter (where kind = 'opened') as "opened!", count(*) filter (where kind = 'changed') as "changed!",
             count(*) filter (where kind = 'closed') as "closed!", count(*) filter (where kind = 'reopened') as "reopened!"
         from place_change where recorded_at >= $1"#,
        since
    )
    .fetch_one(&mut *connection)
    .await?;
    let rows = sqlx::query!(
        r#"select k.query, count(*) filter (where c.kind = 'opened') as "opened!",
             count(*) filter (where c.kind = 'changed') as "changed!", count(*) filter (where c.kind = 'closed') as "closed!",
             count(*) filter (where c.kind = 'reopened') as "reopened!"
         from keyword k
         left join (place_keyword l join place_change c on c.place_id = l.place_id and c.recorded_at >= $1) using (keyword_id)
         where k.retired_at is null
         group by k.keyword_id
         order by 2 desc, 4 desc, k.query"#,
        since
    )
    .fetch_all(connection)
    .await?;
    let by_keyword = rows.into_iter().map(|row| KeywordChanges {
        keyword: row.query,
        changes: Changes { opened: row.opened, changed: row.changed, closed: row.closed, reopened: row.reopened },
    });
    Ok((all, by_keyword.collect()))
}
