//! `changes`: what opened, changed, closed and reopened, newest first.

use std::io::Write;

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;
use clap::ValueEnum;
use futures_util::TryStreamExt;

use super::output::{self, csv_writer, is_reader_gone};
use super::since::Since;
use super::{Context, Exit, TableFormat, part, words};
use crate::app::Database;
use crate::clock;
use crate::store::{ChangeFilter, ChangeRow, Reader};

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Recorded since then: a duration such as 7d, a day in Seoul such as 2026-11-23, or an instant (RFC 3339)
    #[arg(long, value_name = "WHEN", default_value = "7d")]
    since: Since,
    #[command(flatten)]
    part: part::Options,
    /// Only changes of this kind (repeatable)
    #[arg(long, value_enum, value_name = "KIND")]
    kind: Vec<Kind>,
    /// How many at most, the newest first
    #[arg(long)]
    limit: Option<u32>,
    /// How they are printed
    #[arg(long, value_enum, default_value_t)]
    format: TableFormat,
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Opened,
    Changed,
    Closed,
    Reopened,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
        }
    }
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let shown = tokio::select! {
        shown = show(&database, options) => shown,
        () = context.stop.cancelled() => Ok(Exit::Interrupted),
    };
    database.close().await;
    match shown {
        Err(error) if is_reader_gone(&error) => Ok(Exit::Done),
        shown => shown,
    }
}

async fn show(database: &Database, options: &Options) -> anyhow::Result<Exit> {
    database.require_tables().await?;
    let kinds = options.kind.iter().map(|kind| kind.as_str().to_owned()).collect();
    let filter = ChangeFilter {
        since: options.since.instant(clock::now()),
        part: part::resolve(&database.store, &options.part).await?,
        kinds: (!options.kind.is_empty()).then_some(kinds),
        limit: options.limit,
    };
    let mut reader = database.store.reader().await?;
    match options.format {
        TableFormat::Text => as_text(&mut reader, &filter).await?,
        TableFormat::Json => as_json(&mut reader, &filter).await?,
        TableFormat::Csv => as_csv(&mut reader, &filter).await?,
    }
    Ok(Exit::Done)
}

async fn as_text(reader: &mut Reader, filter: &ChangeFilter) -> anyhow::Result<()> {
    let mut to = output::stdout();
    let mut changes = reader.changes(filter);
    let mut is_empty = true;
    while let Some(change) = changes.try_next().await? {
        is_empty = false;
        writeln!(to, "{}", line(&change))?;
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

async fn as_csv(reader: &mut Reader, filter: &ChangeFilter) -> anyhow::Result<()> {
    let mut to = csv_writer(output::stdout());
    to.write_record([
        "place_change_id",
        "recorded_at",
        "kind",
        "place_id",
        "name",
        "is_replaced",
        "before",
        "after",
        "latitude",
        "longitude",
        "not_before",
        "not_after",
        "crawl_run_id",
    ])?;
    let mut changes = reader.changes(filter);
    while let Some(change) = changes.try_next().await? {
        let content =
            |content: &Option<serde_json::Value>| content.as_ref().map(ToString::to_string).unwrap_or_default();
        to.write_record([
            change.place_change_id.to_string(),
            change.recorded_at.to_rfc3339(),
            change.kind,
            change.place_id,
            change.name,
            change.is_replaced.to_string(),
            content(&change.before),
            content(&change.after),
            change.latitude.to_string(),
            change.longitude.to_string(),
            change.not_before.map(|instant| instant.to_rfc3339()).unwrap_or_default(),
            change.not_after.to_rfc3339(),
            change.crawl_run_id.to_string(),
        ])?;
    }
    Ok(to.flush()?)
}

/// When it was recorded, what happened to which place, and between which two looks.
fn line(change: &ChangeRow) -> String {
    let replaced = if change.is_replaced { " another place now;" } else { "" };
    let minute = |instant: DateTime<Utc>| instant.with_timezone(&Seoul).format("%Y-%m-%d %H:%M").to_string();
    let not_before = change.not_before.map_or_else(|| "…".to_owned(), minute);
    let line = format!(
        "{}  {:<8}  {} ({}):{replaced} {} [{not_before} to {}]",
        seoul(change.recorded_at),
        change.kind,
        change.name,
        change.place_id,
        what(change),
        minute(change.not_after),
    );
    words(&line)
}

/// Of a change what differs, else where it is or was.
fn what(change: &ChangeRow) -> String {
    let value = |content: &Option<serde_json::Value>, field: &str| {
        let value = content.as_ref().and_then(|content| content.get(field));
        value.map_or_else(
            || "–".to_owned(),
            |value| match value.as_str() {
                Some(text) => text.to_owned(),
                None if value.is_null() => "–".to_owned(),
                None => value.to_string(),
            },
        )
    };
    let content = change.after.as_ref().or(change.before.as_ref()).and_then(serde_json::Value::as_object);
    let Some(content) = content else { return "found again".to_owned() };
    if change.kind == Kind::Changed.as_str() {
        let pair =
            |field: &String| format!("{field}: {} → {}", value(&change.before, field), value(&change.after, field));
        return content.keys().map(pair).collect::<Vec<_>>().join(", ");
    }
    let texts =
        ["category_name", "road_address", "phone"].map(|field| content.get(field).and_then(serde_json::Value::as_str));
    texts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn seoul(instant: DateTime<Utc>) -> String {
    instant.with_timezone(&Seoul).format("%Y-%m-%d %H:%M:%S").to_string()
}
