//! Maps of the stations: one for each network, and one for the centre of the largest network.
//!
//! The fill of a circle shows how many places are around the station. Its ring shows for how many keywords the results were
//! truncated by the API's 45-result limit. The railway lines are drawn for orientation.

mod classes;
mod labels;
mod projection;
mod rails;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::element::{Element, classed, element, korean, section, text};
use super::table::Column::{Long, Number, Text};
use super::table::{cell, table};
use super::words::{count, counted, number_of, percent};
use crate::domain::geo::Rect;
use crate::store::{Overview, StationReport};
use classes::{Classes, RINGS, ring};
use labels::labels;
use projection::Projection;

/// The area of 수도권 (the capital region) whose stations are too dense for the map of the whole network.
const MIDDLE: Rect = Rect { west: 126.60, south: 37.43, east: 127.19, north: 37.70 };
const MIDDLE_NAME: &str = "서울·인천";

/// The class of maps as wide as the page.
const WIDE_MAP: &str = "map wide";

/// Networks with fewer stations than `LARGE` get no separate map of the centre; with fewer than `MEDIUM` a small map.
const LARGE: usize = 300;
const MEDIUM: usize = 60;

/// The width of a map across the page and of one across a third of it, in SVG units.
const WIDE: f64 = 1130.0;
const NARROW: f64 = 366.0;

/// One map.
struct Panel<'a> {
    title: String,
    class: &'static str,
    projection: Projection,
    /// Every station of the network.
    stations: &'a [&'a StationReport],
    /// The area that is shown on another map.
    elsewhere: Option<Rect>,
}

/// The section with the legend, the maps and a table by network.
pub(super) fn map(overview: &Overview) -> Element {
    let stations = &overview.stations;
    let about = format!(
        "{}. The fill of a circle shows the number of open places within the radius of the station. The ring shows the \
         number of keywords whose results were truncated by the API's 45-result limit. For details see the view station_coverage.",
        counted(number_of(stations), "station", "stations")
    );
    let section = section("Stations", &about);
    if stations.is_empty() {
        return section;
    }
    let classes = Classes::of(stations);
    let mut networks: BTreeMap<&str, Vec<&StationReport>> = BTreeMap::new();
    for station in stations {
        networks.entry(&station.region).or_default().push(station);
    }
    let mut networks: Vec<_> = networks.into_iter().collect();
    networks.sort_by_key(|(_, stations)| std::cmp::Reverse(stations.len()));
    let mut maps = classed("div", "maps");
    for (region, stations) in &networks {
        maps = maps.add_all(panels(region, stations).iter().map(|panel| draw(panel, &classes)));
    }
    section
        .add(legend(&classes))
        .add(maps)
        .add(by_network(&networks, number_of(&overview.keywords)))
        .add(element("details").add(text("summary", "Show all stations as a table")).add(all_stations(stations)))
}

/// What the circles say to a mouse, for fingers and keyboards.
fn all_stations(stations: &[StationReport]) -> Element {
    let mut sorted: Vec<&StationReport> = stations.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name).then_with(|| one.region.cmp(&other.region)));
    let rows = sorted.into_iter().map(|station| {
        [
            korean(&station.name),
            korean(&station.region),
            korean(&station.lines.join(", ")),
            cell(count(station.places)),
            korean(&station.truncated.join(", ")),
        ]
    });
    let columns = [Text("Station"), Text("Network"), Long("Lines"), Number("Open places"), Long("Truncated keywords")];
    table("All stations", columns, rows)
}

fn panels<'a>(region: &str, stations: &'a [&'a StationReport]) -> Vec<Panel<'a>> {
    let positions = || stations.iter().map(|station| station.position);
    let is_in_middle = |station: &&&StationReport| MIDDLE.contains(station.position);
    let panel = |class, (width, height), elsewhere| Panel {
        title: region.to_owned(),
        class,
        projection: Projection::around(positions(), width, height),
        stations,
        elsewhere,
    };
    match stations.len() {
        LARGE.. if stations.iter().filter(is_in_middle).count() * 5 > stations.len() => vec![
            Panel {
                title: MIDDLE_NAME.to_owned(),
                class: WIDE_MAP,
                projection: Projection::of(MIDDLE, WIDE, 680.0),
                stations,
                elsewhere: None,
            },
            panel("map", (NARROW, 460.0), Some(MIDDLE)),
        ],
        LARGE.. => vec![panel(WIDE_MAP, (WIDE, 680.0), None)],
        MEDIUM.. => vec![panel("map", (NARROW, 460.0), None)],
        _ => vec![panel("map small", (NARROW, 170.0), None)],
    }
}

fn draw(panel: &Panel<'_>, classes: &Classes) -> Element {
    let Panel { projection, stations, elsewhere, .. } = panel;
    let (width, height) = projection.size();
    let is_drawn = |station: &&&StationReport| {
        projection.contains(station.position) && elsewhere.is_none_or(|part| !part.contains(station.position))
    };
    // Stations with many places are drawn last, on top.
    let mut drawn: Vec<&StationReport> = stations.iter().filter(is_drawn).copied().collect();
    drawn.sort_by_key(|station| station.places);
    let radius = projection.radius(drawn.iter().map(|station| station.position));
    let label = format!("Map of {}, {}", panel.title, counted(number_of(&drawn), "station", "stations"));
    let mut drawing = element("svg")
        .set("viewBox", format!("0 0 {width:.0} {height:.0}"))
        .set("role", "img")
        .set("aria-label", label)
        .add(classed("path", "rails").set("d", rails::path(stations, projection)))
        .add(projection.ruler());
    if let Some(part) = elsewhere {
        let within = stations.iter().filter(|station| part.contains(station.position));
        drawing = drawing.add(classed("path", "dots").set("d", dots(within, projection)));
        drawing = drawing.add(frame(*part, projection));
    }
    // The width of the rings depends on the size of the circles.
    let circles = classed("g", "stations").set("lang", "ko").set("style", format!("--ring: {:.2}px", radius * 0.7));
    drawing = drawing.add(circles.add_all(drawn.iter().map(|station| circle(station, projection, classes, radius))));
    drawing = drawing.add_all(labels(&drawn, projection, radius, *elsewhere));
    // A wide map scrolls on a phone, so the keyboard must reach it.
    let tabindex = if panel.class == WIDE_MAP { 0 } else { -1 };
    let figure = classed("figure", panel.class).set("tabindex", tabindex);
    let mut caption = element("figcaption").add(korean(&panel.title));
    if panel.class == WIDE_MAP {
        caption = caption.add(classed("span", "hint").text("The map is wider than the screen: swipe to see the rest."));
    }
    figure.add(caption).add(drawing)
}

fn circle(station: &StationReport, projection: &Projection, classes: &Classes, radius: f64) -> Element {
    let (x, y) = projection.point(station.position);
    let mut said = format!("{} ({}): {} places", station.name, station.lines.join(", "), count(station.places));
    if !station.truncated.is_empty() {
        // Writing to a `String` cannot fail.
        write!(said, "; truncated: {}", station.truncated.join(", ")).ok();
    }
    let class = format!("p{} {}", classes.of_places(station.places), ring(number_of(&station.truncated)).class);
    let circle = element("circle").set("class", class.trim_end()).set("cx", format!("{x:.1}"));
    circle.set("cy", format!("{y:.1}")).set("r", format!("{:.1}", radius * 0.82)).add(text("title", said))
}

/// Stations that are shown on another map, as one path of dots.
fn dots<'a>(stations: impl Iterator<Item = &'a &'a StationReport>, projection: &Projection) -> String {
    let points = stations.map(|station| projection.point(station.position));
    points.map(|(x, y)| format!("M{x:.1} {y:.1}h0")).collect::<Vec<_>>().concat()
}

/// The frame around the area of the other map.
fn frame(part: Rect, projection: &Projection) -> Element {
    let corner = |latitude, longitude| projection.project(latitude, longitude);
    let ((left, top), (right, bottom)) = (corner(part.north, part.west), corner(part.south, part.east));
    let frame = classed("rect", "frame").set("x", format!("{left:.1}")).set("y", format!("{top:.1}"));
    frame.set("width", format!("{:.1}", right - left)).set("height", format!("{:.1}", bottom - top))
}

fn legend(classes: &Classes) -> Element {
    let sample = |class: &str, label: String| {
        let circle = element("circle").set("class", class).set("r", 4.6);
        let drawing =
            classed("svg", "icon stations").set("viewBox", "-8 -8 16 16").set("aria-hidden", "true").add(circle);
        classed("span", "status").add(drawing).add(text("span", label))
    };
    let places = classes.labels().into_iter().enumerate().map(|(class, label)| sample(&format!("p{class}"), label));
    let rings = RINGS.iter().map(|ring| sample(&format!("p1 {}", ring.class), ring.label.to_owned()));
    classed("div", "legends")
        .add(classed("p", "legend").add(text("span", "Open places")).add_all(places))
        .add(classed("p", "legend").add(text("span", "Truncated keywords")).add_all(rings))
}

fn by_network(networks: &[(&str, Vec<&StationReport>)], keywords: i64) -> Element {
    let rows = networks.iter().map(|(region, stations)| {
        let number = number_of(stations);
        let with = |is: &dyn Fn(&StationReport) -> bool| {
            let with: Vec<_> = stations.iter().filter(|station| is(station)).collect();
            number_of(&with)
        };
        let mut places: Vec<i64> = stations.iter().map(|station| station.places).collect();
        places.sort_unstable();
        [
            korean(region),
            cell(count(number)),
            cell(count(places.get(places.len() / 2).copied().unwrap_or(0))),
            cell(count(places.last().copied().unwrap_or(0))),
            cell(percent(with(&|station| keywords > 0 && station.complete == keywords), number)),
            cell(percent(with(&|station| !station.truncated.is_empty()), number)),
        ]
    });
    let columns = [
        Text("Network"),
        Number("Stations"),
        Number("Places, median"),
        Number("Places, maximum"),
        Number("Complete"),
        Number("Truncated"),
    ];
    table("The stations by network", columns, rows)
}
