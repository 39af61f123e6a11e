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

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use chrono::TimeDelta;
use chrono_tz::Asia::Seoul;

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
        Some(file) => {
            replace(file, &page).with_context(|| format!("could not write {}", file.display()))?;
        }
    }
    Ok(Exit::Done)
}

async fn read(database: &Database, extent: Extent) -> anyhow::Result<Overview> {
    database.require_tables().await?;
    Ok(database.store.overview(extent).await?)
}

/// Writes beside the file and renames, so that whoever reads it finds the old page or the new one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    // A link stays a link, and what is no file, such as a device, is never replaced by one.
    let file = match fs::canonicalize(file) {
        Ok(there) if there.is_file() => there,
        Ok(_) => return Err(io::Error::other("it is there and is no file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => file.to_owned(),
        Err(error) => return Err(error),
    };
    let name = file.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_string_lossy();
    let beside = file.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = File::create(&beside).and_then(|mut new| {
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&beside, &file)
    });
    if written.is_err() {
        // The first error is the one to tell.
        fs::remove_file(&beside).ok();
    }
    written
}
