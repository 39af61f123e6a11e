//! Writes places as CSV rows or GeoJSON features.

use std::io::Write;

use serde_json::json;

use super::SheetFormat;
use crate::clock::rfc3339;
use crate::commands::output::{CsvWriter, Dialect};
use crate::store::PlaceRow;

/// The header of a CSV.
const COLUMNS: [&str; 16] = [
    "place_id",
    "name",
    "category_name",
    "category_group_code",
    "phone",
    "address",
    "road_address",
    "latitude",
    "longitude",
    "url",
    "keywords",
    "station",
    "distance_m",
    "first_seen_at",
    "changed_at",
    "closed_at",
];

/// A file that is being written.
pub(super) enum Sheet<W: Write> {
    /// RFC 4180.
    Csv(Box<CsvWriter<W>>, Dialect),
    /// RFC 7946: the destination, and the separator before the next feature.
    Geojson(W, &'static str),
}

impl<W: Write> Sheet<W> {
    /// Starts a file: writes the CSV header, or the start of the GeoJSON collection.
    pub(super) fn begin(format: SheetFormat, dialect: Dialect, mut to: W) -> anyhow::Result<Self> {
        match format {
            SheetFormat::Csv => {
                let mut to = CsvWriter::new(to, dialect)?;
                to.row(COLUMNS)?;
                Ok(Self::Csv(Box::new(to), dialect))
            }
            SheetFormat::Geojson => {
                write!(to, "{{\"type\":\"FeatureCollection\",\"features\":[")?;
                Ok(Self::Geojson(to, "\n"))
            }
        }
    }

    /// Adds a place.
    pub(super) fn add(&mut self, place: &PlaceRow) -> anyhow::Result<()> {
        match self {
            Self::Csv(to, dialect) => to.row(record(place, *dialect))?,
            Self::Geojson(to, before) => {
                write!(to, "{before}{}", feature(place))?;
                *before = ",\n";
            }
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
        }
        Ok(())
    }
}

fn record(place: &PlaceRow, dialect: Dialect) -> [String; 16] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        place.place_id.clone(),
        place.name.clone(),
        text(&place.category_name),
        text(&place.category_group_code),
        text(&place.phone),
        text(&place.address),
        text(&place.road_address),
        degrees(place.latitude).to_string(),
        degrees(place.longitude).to_string(),
        text(&place.url),
        place.keywords.join(";"),
        text(&place.station),
        place.distance_m.map(|metres| metres.to_string()).unwrap_or_default(),
        dialect.instant(place.first_seen_at),
        dialect.instant(place.changed_at),
        place.closed_at.map(|at| dialect.instant(at)).unwrap_or_default(),
    ]
}

fn feature(place: &PlaceRow) -> serde_json::Value {
    json!({
        "type": "Feature",
        "id": place.place_id,
        "geometry": {"type": "Point", "coordinates": [degrees(place.longitude), degrees(place.latitude)]},
        "properties": {
            "place_id": place.place_id,
            "name": place.name,
            "category_name": place.category_name,
            "category_group_code": place.category_group_code,
            "phone": place.phone,
            "address": place.address,
            "road_address": place.road_address,
            "url": place.url,
            "keywords": place.keywords,
            "station": place.station,
            "distance_m": place.distance_m,
            "first_seen_at": rfc3339(place.first_seen_at),
            "changed_at": rfc3339(place.changed_at),
            "closed_at": place.closed_at.map(rfc3339),
        },
    })
}

/// Degrees rounded to 7 decimals, about 1 cm.
fn degrees(degrees: f64) -> f64 {
    (degrees * 1e7).round() / 1e7
}
