//! `export`: the places as CSV or GeoJSON, written as they are read, so that memory does not grow with them.

mod sheet;

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use futures_util::TryStreamExt;

use super::output::{self, Draft, is_reader_gone};
use super::{Context, Exit, part, print};
use crate::app::Database;
use crate::store::{PlaceFilter, Reader};
use sheet::Sheet;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// What is written
    #[arg(long, value_enum)]
    format: SheetFormat,
    #[command(flatten)]
    part: part::Options,
    /// Leave out closed places
    #[arg(long)]
    open: bool,
    /// The file, which appears when it is whole; without it stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// The formats of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SheetFormat {
    /// One row per place (RFC 4180)
    Csv,
    /// One feature per place (RFC 7946)
    Geojson,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let exported = tokio::select! {
        exported = export(&database, options) => exported,
        () = context.stop.cancelled() => Ok(Exit::Interrupted),
    };
    database.close().await;
    match exported {
        Err(error) if options.output.is_none() && is_reader_gone(&error) => Ok(Exit::Done),
        exported => exported,
    }
}

async fn export(database: &Database, options: &Options) -> anyhow::Result<Exit> {
    database.require_tables().await?;
    let filter = PlaceFilter { part: part::resolve(&database.store, &options.part).await?, only_open: options.open };
    let mut reader = database.store.reader().await?;
    let Some(path) = &options.output else {
        write(&mut reader, &filter, Sheet::begin(options.format, output::stdout())?).await?;
        return Ok(Exit::Done);
    };
    let (draft, file) = Draft::create(path)?;
    let places = write(&mut reader, &filter, Sheet::begin(options.format, std::io::BufWriter::new(file))?).await?;
    draft.keep()?;
    print(&format!("{places} places written to {}", path.display()));
    Ok(Exit::Done)
}

/// Writes all places, and returns how many.
async fn write<W: Write>(reader: &mut Reader, filter: &PlaceFilter, mut sheet: Sheet<W>) -> anyhow::Result<u64> {
    let mut count = 0;
    let mut places = reader.places(filter);
    while let Some(place) = places.try_next().await? {
        sheet.add(&place)?;
        count += 1;
    }
    sheet.finish()?;
    Ok(count)
}
