//! `report`: one page on the last runs and on what is known, complete in itself, for people.

mod chart;
mod element;
mod headline;
mod map;
mod marks;
mod page;
mod scale;
mod sections;
mod table;
mod words;

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use chrono::TimeDelta;
use chrono_tz::Asia::Seoul;

use super::output::Draft;
use super::{Context, Exit, print};
use crate::app::Database;
use crate::clock;
use crate::store::{Extent, Overview};
use page::{Origin, page};

/// How much the page shows.
const RUNS: i64 = 26;
const WEEKS_OF_CHANGES: i64 = 4;
const AREA_RUNS: i64 = 4;
const AREAS: i64 = 12;
const FAILED_CELLS: i64 = 50;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The file it is written to, as a whole or not at all; without it, stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let now = clock::now();
    let made = now.with_timezone(&Seoul).naive_local();
    let origin = Origin { database: database.store.target().database().to_owned(), is_demo: context.is_demo, made };
    let extent = Extent {
        runs: RUNS,
        changes_since: now - TimeDelta::weeks(WEEKS_OF_CHANGES),
        area_runs: AREA_RUNS,
        areas: AREAS,
        failed_cells: FAILED_CELLS,
    };
    let overview = read(&database, extent).await;
    database.close().await;
    let page = page(&origin, &overview?);
    match &options.output {
        None => print(page.trim_end()),
        Some(path) => {
            let (draft, mut file) = Draft::create(path)?;
            file.write_all(page.as_bytes()).with_context(|| format!("could not write {}", path.display()))?;
            draft.keep()?;
        }
    }
    Ok(Exit::Done)
}

async fn read(database: &Database, extent: Extent) -> anyhow::Result<Overview> {
    database.require_tables().await?;
    Ok(database.store.overview(extent).await?)
}
