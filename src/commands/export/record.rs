//! What an export consists of: records of places or of changes, each with the same columns in every format.

use chrono::{DateTime, Utc};

use crate::store::{ChangeRow, PlaceRow};

/// A column of the records of one kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What the cells of a column contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Texts,
    Number,
    Flag,
    /// Degrees of the position. In formats with a geometry, only tables have them as columns, too.
    Degrees,
    Instant,
    Json,
}

/// One cell; `None` if there is no value.
#[derive(Clone, Debug)]
pub(super) enum Cell<'a> {
    Text(Option<&'a str>),
    Texts(&'a [String]),
    Number(Option<i64>),
    Flag(bool),
    Degrees(Option<f64>),
    Instant(Option<DateTime<Utc>>),
    Json(Option<&'a serde_json::Value>),
}

/// A row of an export.
pub(super) trait Record {
    /// The columns, in their order.
    const COLUMNS: &'static [Column];

    /// What identifies it.
    fn id(&self) -> serde_json::Value;

    /// Longitude and latitude in degrees; `None` if it has no position.
    fn position(&self) -> Option<(f64, f64)>;

    /// The cells, one for each column.
    fn cells(&self) -> Vec<Cell<'_>>;
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind }
}

impl Record for PlaceRow {
    const COLUMNS: &'static [Column] = &[
        column("place_id", Kind::Text),
        column("name", Kind::Text),
        column("category_name", Kind::Text),
        column("category_group_code", Kind::Text),
        column("phone", Kind::Text),
        column("address", Kind::Text),
        column("road_address", Kind::Text),
        column("latitude", Kind::Degrees),
        column("longitude", Kind::Degrees),
        column("url", Kind::Text),
        column("keywords", Kind::Texts),
        column("station", Kind::Text),
        column("distance_m", Kind::Number),
        column("first_seen_at", Kind::Instant),
        column("changed_at", Kind::Instant),
        column("closed_at", Kind::Instant),
        column("region", Kind::Text),
        column("lines", Kind::Texts),
    ];

    fn id(&self) -> serde_json::Value {
        self.place_id.as_str().into()
    }

    fn position(&self) -> Option<(f64, f64)> {
        Some((rounded(self.longitude), rounded(self.latitude)))
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::Text(Some(&self.place_id)),
            Cell::Text(Some(&self.name)),
            Cell::Text(self.category_name.as_deref()),
            Cell::Text(self.category_group_code.as_deref()),
            Cell::Text(self.phone.as_deref()),
            Cell::Text(self.address.as_deref()),
            Cell::Text(self.road_address.as_deref()),
            Cell::Degrees(Some(rounded(self.latitude))),
            Cell::Degrees(Some(rounded(self.longitude))),
            Cell::Text(self.url.as_deref()),
            Cell::Texts(&self.keywords),
            Cell::Text(self.station.as_deref()),
            Cell::Number(self.distance_m.map(i64::from)),
            Cell::Instant(Some(self.first_seen_at)),
            Cell::Instant(Some(self.changed_at)),
            Cell::Instant(self.closed_at),
            Cell::Text(self.region.as_deref()),
            Cell::Texts(&self.lines),
        ]
    }
}

impl Record for ChangeRow {
    const COLUMNS: &'static [Column] = &[
        column("place_change_id", Kind::Number),
        column("recorded_at", Kind::Instant),
        column("kind", Kind::Text),
        column("place_id", Kind::Text),
        column("name", Kind::Text),
        column("is_replaced", Kind::Flag),
        column("before", Kind::Json),
        column("after", Kind::Json),
        column("latitude", Kind::Degrees),
        column("longitude", Kind::Degrees),
        column("not_before", Kind::Instant),
        column("not_after", Kind::Instant),
        column("crawl_run_id", Kind::Number),
    ];

    fn id(&self) -> serde_json::Value {
        self.place_change_id.into()
    }

    fn position(&self) -> Option<(f64, f64)> {
        Some((rounded(self.longitude?), rounded(self.latitude?)))
    }

    fn cells(&self) -> Vec<Cell<'_>> {
        vec![
            Cell::Number(Some(self.place_change_id)),
            Cell::Instant(Some(self.recorded_at)),
            Cell::Text(Some(&self.kind)),
            Cell::Text(Some(&self.place_id)),
            Cell::Text(self.name.as_deref()),
            Cell::Flag(self.is_replaced),
            Cell::Json(self.before.as_ref()),
            Cell::Json(self.after.as_ref()),
            Cell::Degrees(self.latitude.map(rounded)),
            Cell::Degrees(self.longitude.map(rounded)),
            Cell::Instant(self.not_before),
            Cell::Instant(Some(self.not_after)),
            Cell::Number(self.crawl_run_id),
        ]
    }
}

/// Degrees rounded to 7 decimals, about 1 cm.
fn rounded(degrees: f64) -> f64 {
    (degrees * 1e7).round() / 1e7
}
