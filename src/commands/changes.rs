//! `changes`: shows the places that opened, changed, closed and reopened, newest first.

use std::io::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;
use clap::ValueEnum;
use futures_util::TryStreamExt;
use serde_json::Value;

use super::output::{self, CsvWriter, Dialect, DialectOption, csv_row, reading};
use super::since::When;
use super::text::{visible, wrapped};
use super::{Context, Exit, Misuse, TableFormat, part};
use crate::app::Database;
use crate::clock;
use crate::domain::geo::LatLng;
use crate::store::{ChangeFilter, ChangeRow, Reader, Store};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    #[command(flatten)]
    selection: Selection,
    /// Maximum number of changes, the newest first
    #[arg(long)]
    limit: Option<u32>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: TableFormat,
    #[command(flatten)]
    dialect: DialectOption,
}

/// Which changes.
#[derive(Debug, clap::Args)]
// The struct that flattens these options has a group with the same name.
#[group(skip)]
pub(super) struct Selection {
    /// Recorded since then: a duration such as 7d, a day in Seoul such as 2026-11-23, or an instant (RFC 3339)
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    since: When,
    #[command(flatten)]
    part: part::Options,
    /// Only changes of this kind (repeatable)
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Vec<Kind>,
}

impl Selection {
    /// The filter, with names looked up in the database.
    pub(super) async fn filter(&self, store: &Store, limit: Option<u32>) -> anyhow::Result<ChangeFilter> {
        let kinds = self.kind.iter().map(|kind| kind.as_str().to_owned()).collect();
        Ok(ChangeFilter {
            since: self.since.ago(clock::now()),
            part: part::resolve(store, &self.part).await?,
            kinds: (!self.kind.is_empty()).then_some(kinds),
            limit,
        })
    }
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Opened,
    Changed,
    Closed,
    Reopened,
    Purged,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
            Self::Purged => "purged",
        }
    }
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let dialect = options.dialect.dialect();
    if dialect == Dialect::Excel && options.format != TableFormat::Csv {
        return Err(Misuse("--excel needs --format csv").into());
    }
    reading(context, async |database| show(database, options).await).await
}

async fn show(database: &Database, options: &Options) -> anyhow::Result<Exit> {
    let filter = options.selection.filter(&database.store, options.limit).await?;
    let mut reader = database.store.reader().await?;
    match options.format {
        TableFormat::Text => as_text(&mut reader, &filter).await?,
        TableFormat::Json => as_json(&mut reader, &filter).await?,
        TableFormat::Csv => as_csv(&mut reader, &filter, options.dialect.dialect()).await?,
    }
    Ok(Exit::Done)
}

async fn as_text(reader: &mut Reader, filter: &ChangeFilter) -> anyhow::Result<()> {
    let (mut to, width) = (output::stdout(), output::width());
    let mut changes = reader.changes(filter);
    let mut is_empty = true;
    while let Some(change) = changes.try_next().await? {
        is_empty = false;
        for line in wrapped(&line(&change), width) {
            writeln!(to, "{line}")?;
        }
    }
    if is_empty {
        writeln!(to, "no changes since {}", seoul(filter.since))?;
    }
    Ok(to.flush()?)
}

async fn as_json(reader: &mut Reader, filter: &ChangeFilter) -> anyhow::Result<()> {
    let mut to = output::stdout();
    let mut changes = reader.changes(filter);
    let mut before = "[";
    while let Some(change) = changes.try_next().await? {
        write!(to, "{before}{}", serde_json::to_string(&change)?)?;
        before = ",\n";
    }
    writeln!(to, "{}]", if before == "[" { "[" } else { "" })?;
    Ok(to.flush()?)
}

async fn as_csv(reader: &mut Reader, filter: &ChangeFilter, dialect: Dialect) -> anyhow::Result<()> {
    let mut to = CsvWriter::new(output::stdout(), dialect)?;
    to.row(ChangeRow::COLUMNS)?;
    let mut changes = reader.changes(filter);
    while let Some(change) = changes.try_next().await? {
        to.row(cells(&change, dialect)?)?;
    }
    Ok(to.finish()?)
}

/// The CSV cells of a change, with instants in the format of the dialect.
fn cells(change: &ChangeRow, dialect: Dialect) -> anyhow::Result<Vec<String>> {
    let ChangeRow { recorded_at, not_before, not_after, .. } = change;
    let mut cells = csv_row(change, &ChangeRow::COLUMNS)?;
    for (column, cell) in ChangeRow::COLUMNS.iter().zip(&mut cells) {
        match *column {
            "recorded_at" => *cell = dialect.instant(*recorded_at),
            "not_before" => *cell = not_before.map(|at| dialect.instant(at)).unwrap_or_default(),
            "not_after" => *cell = dialect.instant(*not_after),
            _ => {}
        }
    }
    Ok(cells)
}

/// One change as a line: when it was recorded, its kind, the place, the details, and the period in which it happened.
fn line(change: &ChangeRow) -> String {
    let replaced = if change.is_replaced { " another place now;" } else { "" };
    let minute = |instant: DateTime<Utc>| instant.with_timezone(&Seoul).format("%Y-%m-%d %H:%M").to_string();
    let not_before = change.not_before.map_or_else(|| "…".to_owned(), minute);
    let line = format!(
        "{}  {:<8}  {} ({}):{replaced} {} [{not_before} to {}]",
        seoul(change.recorded_at),
        change.kind,
        change.name.as_deref().unwrap_or("–"),
        change.place_id,
        what(change),
        minute(change.not_after),
    );
    visible(&line).into_owned()
}

/// The details of a change: the fields that differ if the place changed, otherwise its category, address and phone.
fn what(change: &ChangeRow) -> String {
    let content = change.after.as_ref().or(change.before.as_ref()).and_then(Value::as_object);
    let Some(content) = content else {
        let is_purged = change.kind == Kind::Purged.as_str();
        return if is_purged { "deleted by `sanggwond purge`" } else { "found again" }.to_owned();
    };
    if change.kind == Kind::Changed.as_str() {
        let fields = content.keys().filter(|field| !POSITION.contains(&field.as_str()));
        let pairs = fields.map(|field| {
            format!("{field}: {} → {}", shown(change.before.as_ref(), field), shown(change.after.as_ref(), field))
        });
        return moved(change).into_iter().chain(pairs).collect::<Vec<_>>().join(", ");
    }
    let texts = ["category_name", "road_address", "phone"].map(|field| content.get(field).and_then(Value::as_str));
    texts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The fields of the position.
const POSITION: [&str; 2] = ["latitude", "longitude"];

/// How far a place moved.
fn moved(change: &ChangeRow) -> Option<String> {
    let (before, now) = (change.before.as_ref()?, change.latitude.zip(change.longitude)?);
    if POSITION.iter().all(|field| before.get(field).is_none()) {
        return None;
    }
    // `before` has only the fields that differ: a move due north has no longitude.
    let degrees = |field: &str, otherwise| before.get(field).and_then(Value::as_f64).unwrap_or(otherwise);
    let before = LatLng::new(degrees("latitude", now.0), degrees("longitude", now.1)).ok()?;
    let metres = before.distance_m(LatLng::new(now.0, now.1).ok()?);
    Some(match metres {
        ..0.5 => "moved less than 1 m".to_owned(),
        0.5..9_999.5 => format!("moved {metres:.0} m"),
        _ => format!("moved {:.1} km", metres / 1000.0),
    })
}

/// A field of a place as text; a dash if it is missing or null.
fn shown(content: Option<&Value>, field: &str) -> String {
    match content.and_then(|content| content.get(field)) {
        None | Some(Value::Null) => "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

fn seoul(instant: DateTime<Utc>) -> String {
    instant.with_timezone(&Seoul).format("%Y-%m-%d %H:%M:%S").to_string()
}
