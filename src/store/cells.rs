//! The ledger: which cells of a run are done, and which are still to do. It is read here and written in `cells/writing.rs`.

mod writing;

use std::collections::BTreeMap;

use futures_util::TryStreamExt;

use super::{Error, Store};
use crate::domain::cell::{Cell, CellArea, CellNo, Parent, Shown};
use crate::domain::geo::Rect;
use crate::domain::keyword::KeywordId;
use crate::domain::run::{Coverage, RunId};
use crate::domain::station::StationId;

pub(super) use writing::{add_sub_rectangles, advance, doubt, insert};

/// A cell before it has a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlannedCell {
    /// What is searched for.
    pub keyword: KeywordId,
    /// Where.
    pub area: CellArea,
    /// The split cell of which this one is a sub-rectangle.
    pub parent: Option<CellNo>,
}

/// The number of cells of a run, and the result of its splits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Those that were planned.
    pub planned: usize,
    /// All of them.
    pub cells: usize,
    /// Split cells for which one sub-rectangle had the same count as the whole, each with that sub-rectangle.
    pub as_much_as_the_whole: Vec<(CellNo, CellNo)>,
}

/// A cell that is done or failed, but not split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Leaf {
    /// Its number within the run.
    pub no: CellNo,
    /// What was searched for.
    pub keyword: KeywordId,
    /// Where.
    pub area: CellArea,
    /// What its search returned; `None` if it failed.
    pub shown: Option<Shown>,
    /// Number of different places that it returned.
    pub places: i32,
}

/// The failed cells of a run, and how it searched.
#[derive(Clone, Debug, PartialEq)]
pub struct FailedCells {
    /// How it searched the area around the stations.
    pub coverage: Coverage,
    /// Its radius around a station, in metres.
    pub radius_m: u32,
    /// Those around stations and for keywords that are in use.
    pub cells: Vec<PlannedCell>,
}

/// A cell that was divided.
struct DividedCell {
    parent: Option<CellNo>,
    total_count: u32,
}

impl Store {
    /// The pending cells of a run; those that failed once come last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_cells(&self, run: RunId) -> Result<Vec<Cell>, Error> {
        let divided = self.divided(run).await?;
        let mut rows = sqlx::query!(
            "select cell_no, keyword_id, station_id, west, south, east, north, failures, attempts, parent_no from crawl_cell
             where crawl_run_id = $1 and status = 'pending' order by failures, cell_no",
            run.0
        )
        .fetch(&self.pool);
        let mut cells = Vec::new();
        while let Some(row) = rows.try_next().await? {
            cells.push(Cell {
                no: CellNo(row.cell_no),
                keyword: KeywordId(row.keyword_id),
                area: area(row.cell_no, row.station_id, [row.west, row.south, row.east, row.north])?,
                failures: row.failures,
                attempts: row.attempts,
                parent: row
                    .parent_no
                    .map(CellNo)
                    .map(|no| Parent { no, total_count: divided.get(&no).map_or(0, |divided| divided.total_count) }),
            });
        }
        Ok(cells)
    }

    /// How many pages the last full run by station before this one read, by station and keyword.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pages_before(&self, run: RunId) -> Result<BTreeMap<(StationId, KeywordId), u32>, Error> {
        let rows = sqlx::query!(
            r#"select station_id as "station_id!", keyword_id, pages from crawl_cell
             where status = 'done' and station_id is not null and crawl_run_id = (
                 select max(crawl_run_id) from crawl_run
                 where crawl_run_id < $1 and scope is null and coverage = 'station' and status in ('succeeded', 'partial'))"#,
            run.0
        )
        .fetch_all(&self.pool)
        .await?;
        let pages = rows
            .into_iter()
            .map(|row| ((StationId(row.station_id), KeywordId(row.keyword_id)), row.pages.unsigned_abs()));
        Ok(pages.collect())
    }

    /// The number of cells of a run, and the result of its splits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ledger(&self, run: RunId) -> Result<Ledger, Error> {
        let counts = sqlx::query!(
            r#"select count(*) filter (where parent_no is null) as "planned!", count(*) as "cells!" from crawl_cell
             where crawl_run_id = $1"#,
            run.0
        )
        .fetch_one(&self.pool)
        .await?;
        let divided = self.divided(run).await?;
        let mut as_much_as_the_whole = BTreeMap::new();
        for (no, part) in &divided {
            let whole = part.parent.and_then(|parent| Some((parent, divided.get(&parent)?)));
            if let Some((parent, _)) = whole.filter(|(_, whole)| part.total_count >= whole.total_count) {
                as_much_as_the_whole.entry(parent).or_insert(*no);
            }
        }
        let number = |count: i64| usize::try_from(count).unwrap_or_default();
        Ok(Ledger {
            planned: number(counts.planned),
            cells: number(counts.cells),
            as_much_as_the_whole: as_much_as_the_whole.into_iter().collect(),
        })
    }

    /// The divided cells of a run. They are joined with their parts here and not in SQL: without statistics of a new run's
    /// rows, PostgreSQL would compare each cell with each, which takes a minute for 9,410 cells.
    async fn divided(&self, run: RunId) -> Result<BTreeMap<CellNo, DividedCell>, Error> {
        let rows = sqlx::query!(
            "select cell_no, parent_no, total_count from crawl_cell
             where crawl_run_id = $1 and status = 'split' order by cell_no",
            run.0
        )
        .fetch_all(&self.pool)
        .await?;
        let cells = rows.into_iter().map(|row| {
            let total_count = row.total_count.unwrap_or_default().unsigned_abs();
            (CellNo(row.cell_no), DividedCell { parent: row.parent_no.map(CellNo), total_count })
        });
        Ok(cells.collect())
    }

    /// Any cell of a run that is done; `None` if there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn done_cell(&self, run: RunId) -> Result<Option<Cell>, Error> {
        let row = sqlx::query!(
            "select cell_no, keyword_id, station_id, west, south, east, north, failures, attempts from crawl_cell
             where crawl_run_id = $1 and status = 'done' order by cell_no limit 1",
            run.0
        )
        .fetch_optional(&self.pool)
        .await?;
        let cell = row.map(|row| {
            Ok(Cell {
                no: CellNo(row.cell_no),
                keyword: KeywordId(row.keyword_id),
                area: area(row.cell_no, row.station_id, [row.west, row.south, row.east, row.north])?,
                failures: row.failures,
                attempts: row.attempts,
                parent: None,
            })
        });
        cell.transpose()
    }

    /// The failed cells of a run; `None` if there is no such run, or it was not a crawl.
    ///
    /// # Errors
    /// When the database fails, or holds a value that this version does not know.
    pub async fn failed_cells(&self, run: RunId) -> Result<Option<FailedCells>, Error> {
        let head = sqlx::query!(
            r#"select coverage, radius_m as "radius_m!" from crawl_run where crawl_run_id = $1 and radius_m is not null"#,
            run.0
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(head) = head else { return Ok(None) };
        let rows = sqlx::query!(
            "select cell_no, c.keyword_id, c.station_id, west, south, east, north from crawl_cell c
             join keyword k on k.keyword_id = c.keyword_id and k.retired_at is null
             left join station s on s.station_id = c.station_id
             where crawl_run_id = $1 and status = 'failed' and s.retired_at is null order by cell_no",
            run.0
        )
        .fetch_all(&self.pool)
        .await?;
        let cells = rows.into_iter().map(|row| {
            let area = area(row.cell_no, row.station_id, [row.west, row.south, row.east, row.north])?;
            Ok(PlannedCell { keyword: KeywordId(row.keyword_id), area, parent: None })
        });
        let unknown = || Error::Unknown { table: "crawl_run", column: "coverage", value: head.coverage.clone() };
        Ok(Some(FailedCells {
            coverage: head.coverage.parse().map_err(|()| unknown())?,
            radius_m: head.radius_m.unsigned_abs(),
            cells: cells.collect::<Result<_, Error>>()?,
        }))
    }

    /// The cells of a finished crawl without the split ones.
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

/// The area of a cell: a rectangle if the four sides are set, otherwise the circle around a station.
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
