//! `export`: writes the places, or their changes, as CSV, GeoJSON, NDJSON or GeoParquet. They are read and written a page at a
//! time, so memory does not grow with their number.

mod geoparquet;
mod record;
mod sheet;

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use futures_util::TryStreamExt;

use super::changes::Selection;
use super::output::{self, Dialect, DialectOption, Draft, print, reading};
use super::{Context, Exit, Misuse, part};
use crate::app::Database;
use crate::store::{ChangeFilter, ChangeRow, Part, PlaceFilter, PlaceKey, PlaceRow, Reader};
use sheet::Sheet;

/// Places that are read at once: enough to be fast, few enough for the memory.
const PAGE: usize = 2_000;

#[derive(Debug, clap::Args)]
#[command(subcommand_negates_reqs = true)]
pub(super) struct Options {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    file: FileOptions,
    #[command(flatten)]
    part: part::Options,
    /// Leave out closed places
    #[arg(long)]
    open: bool,
    /// Include the places beside the circles, which no station lists
    #[arg(long, conflicts_with = "station")]
    all: bool,
}

/// What is written instead of the places.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Write the places that opened, changed, closed and reopened, newest first
    Changes {
        #[command(flatten)]
        file: FileOptions,
        #[command(flatten)]
        selection: Selection,
    },
}

/// The options of the file.
#[derive(Debug, clap::Args)]
// The struct that flattens these options has a group with the same name.
#[group(skip)]
struct FileOptions {
    /// The output format
    #[arg(long, value_enum, required = true)]
    format: Option<SheetFormat>,
    /// The output file, which appears only when it is complete; default: stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    dialect: DialectOption,
}

impl Options {
    /// Whether there are options of an export of places.
    fn has_any(&self) -> bool {
        let FileOptions { format, output, dialect } = &self.file;
        let has_file = format.is_some() || output.is_some() || dialect.dialect() == Dialect::Excel;
        has_file || self.open || self.all || self.part.has_any()
    }
}

/// The formats of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SheetFormat {
    /// One row per place or change (RFC 4180)
    Csv,
    /// One feature per place or change (RFC 7946)
    Geojson,
    /// The same features, one a line
    Ndjson,
    /// GeoParquet 1.1; places are ordered along a Hilbert curve
    Parquet,
}

/// What is asked for: a kind of records, and which.
enum Wanted {
    Places(PlaceFilter),
    Changes(ChangeFilter),
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let file = match &options.what {
        Some(What::Changes { .. }) if options.has_any() => {
            return Err(Misuse("write the options of `export changes` after `changes`").into());
        }
        Some(What::Changes { file, .. }) => file,
        None => &options.file,
    };
    // Clap requires it.
    let format = file.format.unwrap_or(SheetFormat::Csv);
    if file.dialect.dialect() == Dialect::Excel && format != SheetFormat::Csv {
        return Err(Misuse("--excel needs --format csv").into());
    }
    reading(context, async |database| export(database, options, file, format).await).await
}

async fn export(
    database: &Database,
    options: &Options,
    file: &FileOptions,
    format: SheetFormat,
) -> anyhow::Result<Exit> {
    let wanted = match &options.what {
        Some(What::Changes { selection, .. }) => Wanted::Changes(selection.filter(&database.store, None).await?),
        None => {
            let part = part::resolve(&database.store, &options.part).await?;
            Wanted::Places(PlaceFilter { part, only_open: options.open, only_listed: !options.all })
        }
    };
    let mut reader = database.store.reader().await?;
    let dialect = file.dialect.dialect();
    let Some(path) = &file.output else {
        wanted.write(&mut reader, (format, dialect), output::stdout()).await?;
        return Ok(Exit::Done);
    };
    let (draft, file) = Draft::create(path)?;
    let records = wanted.write(&mut reader, (format, dialect), std::io::BufWriter::new(file)).await?;
    let is_file = draft.is_file();
    draft.keep()?;
    if is_file {
        // Not for a device or a pipe, which may be stdout itself: this line would be part of the results.
        print(&format!("{records} written to {}", path.display()))?;
    }
    Ok(Exit::Done)
}

impl Wanted {
    /// Writes all records, and returns how many of what.
    async fn write(
        &self,
        reader: &mut Reader,
        (format, dialect): (SheetFormat, Dialect),
        to: impl Write + Send,
    ) -> anyhow::Result<String> {
        match self {
            Self::Places(filter) => {
                let mut sheet = Sheet::begin::<PlaceRow>(format, dialect, to)?;
                let places = match format {
                    SheetFormat::Parquet => places_along_curve(reader, filter, &mut sheet).await?,
                    SheetFormat::Csv | SheetFormat::Geojson | SheetFormat::Ndjson => {
                        places_by_id(reader, filter, &mut sheet).await?
                    }
                };
                sheet.finish()?;
                Ok(format!("{places} places"))
            }
            Self::Changes(filter) => {
                let mut sheet = Sheet::begin::<ChangeRow>(format, dialect, to)?;
                let changes = changes(reader, filter, &mut sheet).await?;
                sheet.finish()?;
                Ok(format!("{changes} changes"))
            }
        }
    }
}

/// Writes the places ordered by id.
async fn places_by_id<W: Write + Send>(
    reader: &mut Reader,
    filter: &PlaceFilter,
    sheet: &mut Sheet<W>,
) -> anyhow::Result<usize> {
    let (mut places, mut after) = (0, String::new());
    loop {
        let keys = next_keys(reader, filter, &after).await?;
        let Some(last) = keys.last() else { return Ok(places) };
        after.clone_from(&last.place_id);
        let ids: Vec<String> = keys.into_iter().map(|key| key.place_id).collect();
        places += page(reader, &filter.part, &ids, sheet).await?;
    }
}

/// Writes the places along a Hilbert curve, so that those of a row group are near each other.
async fn places_along_curve<W: Write + Send>(
    reader: &mut Reader,
    filter: &PlaceFilter,
    sheet: &mut Sheet<W>,
) -> anyhow::Result<usize> {
    let (mut order, mut after) = (Order::default(), String::new());
    loop {
        let keys = next_keys(reader, filter, &after).await?;
        let Some(last) = keys.last() else { break };
        after.clone_from(&last.place_id);
        order.extend(keys);
    }
    let mut places = 0;
    for ids in order.pages() {
        places += page(reader, &filter.part, &ids, sheet).await?;
    }
    Ok(places)
}

async fn next_keys(reader: &mut Reader, filter: &PlaceFilter, after: &str) -> anyhow::Result<Vec<PlaceKey>> {
    Ok(reader.place_keys(filter, after, i64::try_from(PAGE)?).await?)
}

async fn page<W: Write + Send>(
    reader: &mut Reader,
    part: &Part,
    ids: &[String],
    sheet: &mut Sheet<W>,
) -> anyhow::Result<usize> {
    let places = reader.places(ids, part.stations.as_deref()).await?;
    places.iter().try_for_each(|place| sheet.add(place))?;
    Ok(places.len())
}

async fn changes<W: Write + Send>(
    reader: &mut Reader,
    filter: &ChangeFilter,
    sheet: &mut Sheet<W>,
) -> anyhow::Result<usize> {
    let mut count = 0;
    let mut changes = reader.changes(filter);
    while let Some(change) = changes.try_next().await? {
        sheet.add(&change)?;
        count += 1;
    }
    Ok(count)
}

/// The ids of all places and how far they lie along the curve, in little memory.
#[derive(Debug, Default)]
struct Order {
    /// All ids, one after the other.
    ids: String,
    /// How far along the curve, and where the id begins and ends.
    places: Vec<(u32, u32, u32)>,
}

impl Order {
    fn extend(&mut self, keys: Vec<PlaceKey>) {
        let at = |ids: &String| u32::try_from(ids.len()).unwrap_or(u32::MAX);
        for key in keys {
            let from = at(&self.ids);
            self.ids.push_str(&key.place_id);
            self.places.push((key.along_curve, from, at(&self.ids)));
        }
    }

    /// The ids along the curve, a page at a time.
    fn pages(&mut self) -> impl Iterator<Item = Vec<String>> {
        self.places.sort_unstable();
        let id = |&(_, from, to): &(u32, u32, u32)| self.ids[from as usize..to as usize].to_owned();
        self.places.chunks(PAGE).map(move |page| page.iter().map(id).collect())
    }
}
