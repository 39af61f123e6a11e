//! `export`: writes the places as CSV or GeoJSON. They are streamed, so memory does not grow with their number.

mod sheet;

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use futures_util::TryStreamExt;

use super::output::{self, Dialect, DialectOption, Draft, print, reading};
use super::{Context, Exit, Misuse, part};
use crate::app::Database;
use crate::store::{PlaceFilter, Reader};
use sheet::Sheet;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The output format
    #[arg(long, value_enum)]
    format: SheetFormat,
    #[command(flatten)]
    part: part::Options,
    /// Leave out closed places
    #[arg(long)]
    open: bool,
    /// The output file, which appears only when it is complete; default: stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    dialect: DialectOption,
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
    if options.dialect.dialect() == Dialect::Excel && options.format != SheetFormat::Csv {
        return Err(Misuse("--excel needs --format csv").into());
    }
    reading(context, async |database| export(database, options).await).await
}

async fn export(database: &Database, options: &Options) -> anyhow::Result<Exit> {
    let filter = PlaceFilter { part: part::resolve(&database.store, &options.part).await?, only_open: options.open };
    let mut reader = database.store.reader().await?;
    let (format, dialect) = (options.format, options.dialect.dialect());
    let Some(path) = &options.output else {
        write(&mut reader, &filter, Sheet::begin(format, dialect, output::stdout())?).await?;
        return Ok(Exit::Done);
    };
    let (draft, file) = Draft::create(path)?;
    let places = write(&mut reader, &filter, Sheet::begin(format, dialect, std::io::BufWriter::new(file))?).await?;
    let is_file = draft.is_file();
    draft.keep()?;
    if is_file {
        // Not for a device or a pipe, which may be stdout itself: this line would be part of the results.
        print(&format!("{places} places written to {}", path.display()))?;
    }
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
