//! The ledger: which cells of a run are done, and which are still to do.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::{Error, Store};
use crate::domain::cell::{Cell, CellNo, Ending, Outcome};
use crate::domain::keyword::KeywordId;
use crate::domain::run::RunId;
use crate::domain::station::StationId;

impl Store {
    /// The cells of a run that are still to do; those that failed once come last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_cells(&self, run: RunId) -> Result<Vec<Cell>, Error> {
        let rows = sqlx::query!(
            "select cell_no, keyword_id, station_id, chances, attempts from crawl_cell
             where crawl_run_id = $1 and status = 'pending' order by chances, cell_no",
            run.0
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| Cell {
                no: CellNo(row.cell_no),
                keyword: KeywordId(row.keyword_id),
                station: StationId(row.station_id),
                chances: row.chances,
                attempts: row.attempts,
            })
            .collect())
    }
}

/// Moves cells on in the ledger, and returns the outcomes of those that were where their outcome took them up.
pub(super) async fn advance<'a>(
    connection: &mut PgConnection,
    run: RunId,
    outcomes: &'a [Outcome],
) -> Result<Vec<&'a Outcome>, Error> {
    // A cell moves once at a time, whatever comes.
    let outcomes: BTreeMap<CellNo, &Outcome> =
        outcomes.iter().rev().map(|outcome| (outcome.cell.no, outcome)).collect();
    let mut columns = Columns::default();
    for outcome in outcomes.values() {
        columns.push(outcome);
    }
    // The cells are named twice: without statistics of a new run's rows, PostgreSQL would compare each with each.
    let moved = sqlx::query_scalar!(
        "update crawl_cell as c set
             status = t.status, chances = t.chances, attempts = t.attempts, total_count = t.total_count,
             pages = t.pages, places = t.places, truncated = t.truncated, error = coalesce(t.error, c.error)
         from unnest($2::int[], $3::int[], $4::text[], $5::smallint[], $6::int[], $7::int[], $8::int[], $9::int[],
             $10::bool[], $11::text[])
             as t (cell_no, seen, status, chances, attempts, total_count, pages, places, truncated, error)
         where c.crawl_run_id = $1 and c.cell_no = any($2) and c.cell_no = t.cell_no and c.status = 'pending'
             and c.attempts = t.seen
         returning c.cell_no",
        run.0,
        &columns.no,
        &columns.seen,
        &columns.status,
        &columns.chances,
        &columns.attempts,
        &columns.total_count as &[Option<i32>],
        &columns.pages,
        &columns.places,
        &columns.truncated,
        &columns.error as &[Option<String>],
    )
    .fetch_all(connection)
    .await?;
    Ok(moved.into_iter().filter_map(|no| outcomes.get(&CellNo(no)).copied()).collect())
}

#[derive(Default)]
struct Columns {
    no: Vec<i32>,
    seen: Vec<i32>,
    status: Vec<String>,
    chances: Vec<i16>,
    attempts: Vec<i32>,
    total_count: Vec<Option<i32>>,
    pages: Vec<i32>,
    places: Vec<i32>,
    truncated: Vec<bool>,
    error: Vec<Option<String>>,
}

impl Columns {
    fn push(&mut self, outcome: &Outcome) {
        let (total_count, pages, truncated, error) = match &outcome.ending {
            Ending::Done { total_count, pages, is_truncated } => {
                (Some(whole(*total_count)), whole(*pages), *is_truncated, None)
            }
            Ending::Failed(error) => (None, 0, false, Some(error.clone())),
            Ending::Stopped => (None, 0, false, None),
        };
        self.no.push(outcome.cell.no.0);
        self.seen.push(outcome.cell.attempts);
        self.status.push(outcome.status().as_str().to_owned());
        self.chances.push(outcome.chances());
        self.attempts.push(outcome.cell.attempts.saturating_add(whole(outcome.traffic.requests)));
        self.total_count.push(total_count);
        self.pages.push(pages);
        self.places.push(i32::try_from(outcome.places.len()).unwrap_or(i32::MAX));
        self.truncated.push(truncated);
        self.error.push(error);
    }
}

/// A count as the database stores it; the API's counts are far below the limit.
fn whole(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
