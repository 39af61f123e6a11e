//! Writes records in the format that was asked for.

use std::io::Write;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::SheetFormat;
use super::geoparquet::GeoParquet;
use super::record::{Cell, Kind, Record};
use crate::clock::rfc3339;
use crate::commands::output::{CsvWriter, Dialect};

/// A file that is being written.
pub(super) enum Sheet<W: Write + Send> {
    /// RFC 4180.
    Csv(Box<CsvWriter<W>>, Dialect),
    /// RFC 7946: the destination, and the separator before the next feature.
    Geojson(W, &'static str),
    /// The same features, one a line.
    Ndjson(W),
    /// GeoParquet 1.1.
    Parquet(Box<GeoParquet<W>>),
}

impl<W: Write + Send> Sheet<W> {
    /// Starts a file of records of one kind: writes what comes before the first.
    pub(super) fn begin<R: Record>(format: SheetFormat, dialect: Dialect, mut to: W) -> anyhow::Result<Self> {
        Ok(match format {
            SheetFormat::Csv => {
                let mut to = CsvWriter::new(to, dialect)?;
                to.row(R::COLUMNS.iter().map(|column| column.name))?;
                Self::Csv(Box::new(to), dialect)
            }
            SheetFormat::Geojson => {
                write!(to, "{{\"type\":\"FeatureCollection\",\"features\":[")?;
                Self::Geojson(to, "\n")
            }
            SheetFormat::Ndjson => Self::Ndjson(to),
            SheetFormat::Parquet => Self::Parquet(Box::new(GeoParquet::begin(R::COLUMNS, to)?)),
        })
    }

    /// Adds a record.
    pub(super) fn add<R: Record>(&mut self, record: &R) -> anyhow::Result<()> {
        match self {
            Self::Csv(to, dialect) => to.row(record.cells().iter().map(|cell| field(cell, *dialect)))?,
            Self::Geojson(to, before) => {
                write!(to, "{before}{}", feature(record)?)?;
                *before = ",\n";
            }
            Self::Ndjson(to) => writeln!(to, "{}", feature(record)?)?,
            Self::Parquet(to) => to.add(record)?,
        }
        Ok(())
    }

    /// Ends the file and flushes it.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Csv(to, _) => to.finish()?,
            Self::Geojson(mut to, _) => {
                write!(to, "\n]}}\n")?;
                to.flush()?;
            }
            Self::Ndjson(mut to) => to.flush()?,
            Self::Parquet(to) => to.finish()?,
        }
        Ok(())
    }
}

/// The field of a CSV.
fn field(cell: &Cell<'_>, dialect: Dialect) -> String {
    match cell {
        Cell::Text(text) => text.unwrap_or_default().to_owned(),
        Cell::Texts(texts) => texts.join(";"),
        Cell::Number(number) => number.map(|number| number.to_string()).unwrap_or_default(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Degrees(degrees) => degrees.map(|degrees| degrees.to_string()).unwrap_or_default(),
        Cell::Instant(at) => at.map(|at| dialect.instant(at)).unwrap_or_default(),
        Cell::Json(value) => value.map(Value::to_string).unwrap_or_default(),
    }
}

/// A feature of RFC 7946. Its members stand in the usual order, which readers recognise it by.
fn feature<R: Record>(record: &R) -> anyhow::Result<String> {
    let geometry = record.position().map(|(x, y)| Point { kind: "Point", coordinates: [x, y] });
    let feature = Feature { kind: "Feature", id: record.id(), geometry, properties: Properties(record) };
    Ok(serde_json::to_string(&feature)?)
}

#[derive(Serialize)]
struct Feature<'a, R: Record> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: Value,
    geometry: Option<Point>,
    #[serde(bound = "R: Record")]
    properties: Properties<'a, R>,
}

#[derive(Serialize)]
struct Point {
    #[serde(rename = "type")]
    kind: &'static str,
    coordinates: [f64; 2],
}

/// The columns besides the position.
struct Properties<'a, R>(&'a R);

impl<R: Record> Serialize for Properties<'_, R> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let columns = R::COLUMNS.iter().zip(self.0.cells()).filter(|(column, _)| column.kind != Kind::Degrees);
        to.collect_map(columns.map(|(column, cell)| (column.name, value(&cell))))
    }
}

fn value(cell: &Cell<'_>) -> Value {
    match cell {
        Cell::Text(text) => json!(text),
        Cell::Texts(texts) => json!(texts),
        Cell::Number(number) => json!(number),
        Cell::Flag(flag) => json!(flag),
        Cell::Degrees(degrees) => json!(degrees),
        Cell::Instant(at) => json!(at.map(rfc3339)),
        Cell::Json(value) => json!(value),
    }
}
