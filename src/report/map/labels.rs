//! Station names on the maps, for orientation: those of well-known hubs, then those of the stations with the most places, as far
//! as there is room.

use super::projection::Projection;
use crate::domain::geo::Rect;
use crate::report::element::{Element, text};
use crate::store::StationReport;

/// The width of a Korean character and the height of a line, in SVG units.
const LETTER: f64 = 10.6;
const LINE: f64 = 13.0;

/// The distance between a circle and its name, in SVG units.
const GAP: f64 = 3.5;

/// The minimum distance between two names, in SVG units.
const ROOM: (f64, f64) = (34.0, 20.0);

/// Maximum number of characters; longer names are cut.
const LONGEST: usize = 12;

/// Stations that people look for first on a map of their city, the best known first.
const HUBS: [&str; 24] = [
    "서울역",
    "강남역",
    "홍대입구역",
    "잠실역",
    "신도림역",
    "왕십리역",
    "사당역",
    "고속터미널역",
    "김포공항역",
    "수원역",
    "인천역",
    "부산역",
    "서면역",
    "해운대역",
    "동대구역",
    "반월당역",
    "대전역",
    "유성온천역",
    "광주송정역",
    "금남로4가역",
    "판교역",
    "의정부역",
    "천안역",
    "춘천역",
];

/// The labels. `stations` is sorted by ascending number of places; `without` is an area without names.
pub(super) fn labels(
    stations: &[&StationReport],
    projection: &Projection,
    radius: f64,
    without: Option<Rect>,
) -> Vec<Element> {
    let (width, height) = projection.size();
    let frame = Extent { left: 0.0, top: 0.0, right: width, bottom: height };
    let ruler = Extent { top: height - 24.0, right: width / 3.0, ..frame };
    let without = without.map(|part| {
        let (left, top) = projection.project(part.north, part.west);
        let (right, bottom) = projection.project(part.south, part.east);
        Extent { left, top, right, bottom }
    });
    let around = |station: &&StationReport| {
        let (x, y) = projection.point(station.position);
        Extent { left: x, top: y, right: x, bottom: y }.grown(radius, radius)
    };
    let circles: Vec<Extent> = stations.iter().map(around).collect();
    let mut names: Vec<Extent> = Vec::new();
    let mut labels = Vec::new();
    let rank = |name: &str| HUBS.iter().position(|hub| *hub == name).unwrap_or(HUBS.len());
    let mut in_order: Vec<_> = stations.iter().zip(&circles).rev().collect();
    in_order.sort_by_key(|(station, _)| rank(&station.name));
    for (station, circle) in in_order {
        let is_free = |place: &Extent| {
            let roomy = place.grown(ROOM.0, ROOM.1);
            place.is_within(&frame)
                && !place.meets(&ruler)
                && !without.is_some_and(|part| place.meets(&part))
                && !circles.iter().any(|other| place.meets(other))
                && !names.iter().any(|other| roomy.meets(other))
        };
        if let Some(place) = circle.places_beside(&station.name).into_iter().find(is_free) {
            labels.push(place.label(&station.name));
            names.push(place);
        }
    }
    labels
}

/// A box in the drawing.
#[derive(Clone, Copy)]
struct Extent {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Extent {
    /// The possible boxes for the name of a station, the best first.
    fn places_beside(&self, name: &str) -> [Self; 4] {
        let wide = name.chars().take(LONGEST).fold(0.0, |wide, c| wide + if c.is_ascii() { 0.6 } else { 1.0 } * LETTER);
        let (x, y) = (self.left.midpoint(self.right), self.top.midpoint(self.bottom));
        let at = |left: f64, top: f64| Self { left, top, right: left + wide, bottom: top + LINE };
        [
            at(self.right + GAP, y - LINE / 2.0),
            at(self.left - GAP - wide, y - LINE / 2.0),
            at(x - wide / 2.0, self.top - LINE - 1.0),
            at(x - wide / 2.0, self.bottom + 1.0),
        ]
    }

    fn label(&self, name: &str) -> Element {
        let short: String = name.chars().take(LONGEST).collect();
        let middle = format!("{:.1}", self.left.midpoint(self.right));
        text("text", short).set("lang", "ko").set("x", middle).set("y", format!("{:.1}", self.bottom - 2.8))
    }

    fn grown(&self, by_x: f64, by_y: f64) -> Self {
        Self { left: self.left - by_x, top: self.top - by_y, right: self.right + by_x, bottom: self.bottom + by_y }
    }

    fn meets(&self, other: &Self) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn is_within(&self, other: &Self) -> bool {
        self.left >= other.left && self.top >= other.top && self.right <= other.right && self.bottom <= other.bottom
    }
}
