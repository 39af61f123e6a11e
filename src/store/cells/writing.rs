//! Writing the ledger: new cells, sub-rectangles, outcomes and doubts.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::PlannedCell;
use crate::domain::cell::{Cell, CellArea, CellNo, Ending, Outcome, Parent, Shown};
use crate::domain::geo::Rect;
use crate::domain::run::RunId;
use crate::store::Error;

/// Number of cells per statement. It limits the memory of a run with many cells.
const CHUNK: usize = 1_000;

/// Adds cells to the ledger of a run, numbered from `first` on.
pub(in crate::store) async fn insert(
    connection: &mut PgConnection,
    run: RunId,
    first: i32,
    radius_m: Option<i32>,
    cells: &[PlannedCell],
) -> Result<(), Error> {
    let mut first = first;
    for cells in cells.chunks(CHUNK) {
        insert_chunk(connection, run, first, radius_m, cells).await?;
        first = first.saturating_add(i32::try_from(cells.len()).unwrap_or(i32::MAX));
    }
    Ok(())
}

async fn insert_chunk(
    connection: &mut PgConnection,
    run: RunId,
    first: i32,
    radius_m: Option<i32>,
    cells: &[PlannedCell],
) -> Result<(), Error> {
    let keywords: Vec<i32> = cells.iter().map(|cell| cell.keyword.0).collect();
    let station = |cell: &PlannedCell| match cell.area {
        CellArea::Around(station) => Some(station.0),
        CellArea::Within(_) => None,
    };
    let side = |side: fn(Rect) -> f64| -> Vec<Option<f64>> {
        let side = |cell: &PlannedCell| match cell.area {
            CellArea::Around(_) => None,
            CellArea::Within(rect) => Some(side(rect)),
        };
        cells.iter().map(side).collect()
    };
    sqlx::query!(
        "insert into crawl_cell
             (crawl_run_id, cell_no, keyword_id, station_id, radius_m, west, south, east, north, parent_no)
         select $1, $2 + rank::int - 1, keyword_id, station_id, case when station_id is not null then $3::int end, west,
             south, east, north, parent_no
         from unnest($4::int[], $5::int[], $6::float8[], $7::float8[], $8::float8[], $9::float8[], $10::int[])
             with ordinality as t (keyword_id, station_id, west, south, east, north, parent_no, rank)",
        run.0,
        first,
        radius_m,
        &keywords,
        &cells.iter().map(station).collect::<Vec<_>>() as &[Option<i32>],
        &side(|rect| rect.west) as &[Option<f64>],
        &side(|rect| rect.south) as &[Option<f64>],
        &side(|rect| rect.east) as &[Option<f64>],
        &side(|rect| rect.north) as &[Option<f64>],
        &cells.iter().map(|cell| cell.parent.map(|CellNo(no)| no)).collect::<Vec<_>>() as &[Option<i32>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds the sub-rectangles of split cells to the ledger, numbered after its last cell, and returns them.
pub(in crate::store) async fn add_sub_rectangles(
    connection: &mut PgConnection,
    run: RunId,
    moved: &[&Outcome],
) -> Result<Vec<Cell>, Error> {
    let mut cells: Vec<Cell> = moved.iter().flat_map(|outcome| sub_rectangles(outcome)).collect();
    if cells.is_empty() {
        return Ok(cells);
    }
    // The row of the run is locked, so no other process assigns numbers.
    let last = sqlx::query_scalar!("select cells_total from crawl_run where crawl_run_id = $1", run.0)
        .fetch_one(&mut *connection)
        .await?;
    for (no, cell) in (last + 1..).zip(&mut cells) {
        cell.no = CellNo(no);
    }
    let planned = |cell: &Cell| PlannedCell {
        keyword: cell.keyword,
        area: cell.area,
        parent: cell.parent.map(|parent| parent.no),
    };
    insert(connection, run, last + 1, None, &cells.iter().map(planned).collect::<Vec<_>>()).await?;
    Ok(cells)
}

/// The sub-rectangles of a cell as new cells, without their numbers.
fn sub_rectangles(outcome: &Outcome) -> impl Iterator<Item = Cell> {
    let Cell { no, keyword, .. } = outcome.cell;
    let parent = match outcome.ending {
        Ending::Split { total_count, .. } => Some(Parent { no, total_count }),
        Ending::Done { .. } | Ending::Failed(_) | Ending::Stopped => None,
    };
    let cell = move |rect: &Rect| Cell { keyword, area: CellArea::Within(*rect), parent, failures: 0, attempts: 0, no };
    outcome.pieces().iter().map(cell)
}

/// Marks cells as not complete, each with the number of places that it did not return.
pub(in crate::store) async fn doubt(
    connection: &mut PgConnection,
    run: RunId,
    doubted: &[(CellNo, i32)],
) -> Result<(), Error> {
    let (numbers, missing): (Vec<i32>, Vec<i32>) = doubted.iter().map(|(no, missing)| (no.0, *missing)).unzip();
    sqlx::query!(
        "update crawl_cell set complete = false, shortfall = greatest(shortfall, missing)
         from unnest($2::int[], $3::int[]) as t (no, missing)
         where crawl_run_id = $1 and cell_no = any($2) and cell_no = no",
        run.0,
        &numbers,
        &missing
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Updates cells in the ledger, and returns the outcomes of those that were still in the state in which their outcome began.
pub(in crate::store) async fn advance<'a>(
    connection: &mut PgConnection,
    run: RunId,
    outcomes: &'a [Outcome],
) -> Result<Vec<&'a Outcome>, Error> {
    // Of several outcomes of one cell, only the first is applied.
    let outcomes: BTreeMap<CellNo, &Outcome> =
        outcomes.iter().rev().map(|outcome| (outcome.cell.no, outcome)).collect();
    let mut columns = Columns::default();
    for outcome in outcomes.values() {
        columns.push(outcome);
    }
    // The condition on cell_no is redundant. Without it and without statistics of the new rows, PostgreSQL plans a nested loop.
    let moved = sqlx::query_scalar!(
        "update crawl_cell as c set
             status = t.status, failures = t.failures, attempts = t.attempts, total_count = t.total_count,
             pages = t.pages, places = t.places, truncated = t.truncated, complete = t.complete, shortfall = t.shortfall,
             error = coalesce(t.error, c.error)
         from unnest($2::int[], $3::int[], $4::text[], $5::smallint[], $6::int[], $7::int[], $8::int[], $9::int[],
             $10::bool[], $11::bool[], $12::int[], $13::text[])
             as t (cell_no, seen, status, failures, attempts, total_count, pages, places, truncated, complete, shortfall,
             error)
         where c.crawl_run_id = $1 and c.cell_no = any($2) and c.cell_no = t.cell_no and c.status = 'pending'
             and c.attempts = t.seen
         returning c.cell_no",
        run.0,
        &columns.no,
        &columns.seen,
        &columns.status,
        &columns.failures,
        &columns.attempts,
        &columns.total_count as &[Option<i32>],
        &columns.pages,
        &columns.places,
        &columns.truncated,
        &columns.complete,
        &columns.shortfall,
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
    failures: Vec<i16>,
    attempts: Vec<i32>,
    total_count: Vec<Option<i32>>,
    pages: Vec<i32>,
    places: Vec<i32>,
    truncated: Vec<bool>,
    complete: Vec<bool>,
    shortfall: Vec<i32>,
    error: Vec<Option<String>>,
}

impl Columns {
    fn push(&mut self, outcome: &Outcome) {
        let (total_count, pages, error) = match &outcome.ending {
            Ending::Done { total_count, pages, .. } | Ending::Split { total_count, pages, .. } => {
                (Some(whole(*total_count)), whole(*pages), None)
            }
            Ending::Failed(error) => (None, 0, Some(error.clone())),
            Ending::Stopped => (None, 0, None),
        };
        let shown = outcome.shown();
        let places = i32::try_from(outcome.places.len()).unwrap_or(i32::MAX);
        let shown_count = places.saturating_add(whole(outcome.rejected.documents));
        let shortfall = total_count.filter(|_| shown.is_some()).map_or(0, |total| (total - shown_count).max(0));
        self.no.push(outcome.cell.no.0);
        self.seen.push(outcome.cell.attempts);
        self.status.push(outcome.status().as_str().to_owned());
        self.failures.push(outcome.failures());
        self.attempts.push(outcome.cell.attempts.saturating_add(whole(outcome.traffic.requests)));
        self.total_count.push(total_count);
        self.pages.push(pages);
        self.places.push(places);
        self.truncated.push(shown == Some(Shown::Truncated));
        self.complete.push(shown == Some(Shown::All));
        self.shortfall.push(shortfall);
        self.error.push(error);
    }
}

/// A count as the database stores it; the API's counts are far below the limit.
fn whole(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
