//! The ledger: which cells of a run are done, and which are still to do.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use sqlx::PgConnection;

use super::{Error, Store};
use crate::domain::cell::{Cell, CellArea, CellNo, Ending, Outcome, Shown};
use crate::domain::geo::Rect;
use crate::domain::keyword::KeywordId;
use crate::domain::run::RunId;
use crate::domain::station::StationId;

/// A cell before it has a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedCell {
    /// What is searched for.
    pub keyword: KeywordId,
    /// Where.
    pub area: CellArea,
}

/// A cell that was read to its end, or given up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaf {
    /// Its number within the run.
    pub no: CellNo,
    /// What was searched for.
    pub keyword: KeywordId,
    /// Where.
    pub area: CellArea,
    /// What it showed; `None` where it failed.
    pub shown: Option<Shown>,
    /// How many different places it showed.
    pub places: i32,
}

impl Store {
    /// The cells of a run that are still to do; those that failed once come last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_cells(&self, run: RunId) -> Result<Vec<Cell>, Error> {
        let mut rows = sqlx::query!(
            "select cell_no, keyword_id, station_id, west, south, east, north, chances, attempts from crawl_cell
             where crawl_run_id = $1 and status = 'pending' order by chances, cell_no",
            run.0
        )
        .fetch(&self.pool);
        let mut cells = Vec::new();
        while let Some(row) = rows.try_next().await? {
            cells.push(Cell {
                no: CellNo(row.cell_no),
                keyword: KeywordId(row.keyword_id),
                area: area(row.cell_no, row.station_id, [row.west, row.south, row.east, row.north])?,
                chances: row.chances,
                attempts: row.attempts,
            });
        }
        Ok(cells)
    }

    /// The cells of a run that is through, without those that were divided.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leaves(&self, run: RunId) -> Result<Vec<Leaf>, Error> {
        let mut rows = sqlx::query!(
            "select cell_no, keyword_id, station_id, west, south, east, north, status, complete, truncated, places
             from crawl_cell where crawl_run_id = $1 and status in ('done', 'failed')",
            run.0
        )
        .fetch(&self.pool);
        let mut leaves = Vec::new();
        while let Some(row) = rows.try_next().await? {
            let shown = match (row.complete, row.truncated) {
                (true, _) => Shown::All,
                (false, true) => Shown::Truncated,
                (false, false) => Shown::Short,
            };
            leaves.push(Leaf {
                no: CellNo(row.cell_no),
                keyword: KeywordId(row.keyword_id),
                area: area(row.cell_no, row.station_id, [row.west, row.south, row.east, row.north])?,
                shown: (row.status == "done").then_some(shown),
                places: row.places,
            });
        }
        Ok(leaves)
    }
}

/// The area of a cell: a rectangle has four sides, else it lies around a station.
fn area(cell_no: i32, station: Option<i32>, sides: [Option<f64>; 4]) -> Result<CellArea, Error> {
    let around = station.map(|station| CellArea::Around(StationId(station)));
    let within = || match sides {
        [Some(west), Some(south), Some(east), Some(north)] => Some(CellArea::Within(Rect { west, south, east, north })),
        _ => None,
    };
    around.or_else(within).ok_or_else(|| Error::Unknown {
        table: "crawl_cell",
        column: "west",
        value: format!("nothing, in cell {cell_no}"),
    })
}

/// How many cells go into one statement, so that the memory of a run does not grow with its ledger.
const CHUNK: usize = 1_000;

/// Adds cells to the ledger of a run, numbered from `first` on.
pub(super) async fn insert(
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
        "insert into crawl_cell (crawl_run_id, cell_no, keyword_id, station_id, radius_m, west, south, east, north)
         select $1, $2 + rank::int - 1, keyword_id, station_id, case when station_id is not null then $3::int end, west,
             south, east, north
         from unnest($4::int[], $5::int[], $6::float8[], $7::float8[], $8::float8[], $9::float8[])
             with ordinality as t (keyword_id, station_id, west, south, east, north, rank)",
        run.0,
        first,
        radius_m,
        &keywords,
        &cells.iter().map(station).collect::<Vec<_>>() as &[Option<i32>],
        &side(|rect| rect.west) as &[Option<f64>],
        &side(|rect| rect.south) as &[Option<f64>],
        &side(|rect| rect.east) as &[Option<f64>],
        &side(|rect| rect.north) as &[Option<f64>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds the pieces of split cells to the ledger, behind the cells that it has already.
pub(super) async fn add_pieces(connection: &mut PgConnection, run: RunId, moved: &[&Outcome]) -> Result<(), Error> {
    let pieces = |outcome: &&Outcome| {
        let keyword = outcome.cell.keyword;
        let planned = move |rect: &Rect| PlannedCell { keyword, area: CellArea::Within(*rect) };
        outcome.pieces().iter().map(planned).collect::<Vec<_>>()
    };
    let cells: Vec<PlannedCell> = moved.iter().flat_map(pieces).collect();
    if cells.is_empty() {
        return Ok(());
    }
    // The run's row is held, so nobody else numbers cells meanwhile.
    let last = sqlx::query_scalar!("select cells_total from crawl_run where crawl_run_id = $1", run.0)
        .fetch_one(&mut *connection)
        .await?;
    insert(connection, run, last + 1, None, &cells).await
}

/// Takes their proof from cells that showed too few places.
pub(super) async fn doubt(connection: &mut PgConnection, run: RunId, doubted: &[(CellNo, i32)]) -> Result<(), Error> {
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
             pages = t.pages, places = t.places, truncated = t.truncated, complete = t.complete, shortfall = t.shortfall,
             error = coalesce(t.error, c.error)
         from unnest($2::int[], $3::int[], $4::text[], $5::smallint[], $6::int[], $7::int[], $8::int[], $9::int[],
             $10::bool[], $11::bool[], $12::int[], $13::text[])
             as t (cell_no, seen, status, chances, attempts, total_count, pages, places, truncated, complete, shortfall,
             error)
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
    chances: Vec<i16>,
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
        let shown_count = places.saturating_add(whole(outcome.documents_rejected));
        let shortfall = total_count.filter(|_| shown.is_some()).map_or(0, |total| (total - shown_count).max(0));
        self.no.push(outcome.cell.no.0);
        self.seen.push(outcome.cell.attempts);
        self.status.push(outcome.status().as_str().to_owned());
        self.chances.push(outcome.chances());
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
