//! The sections of the report that consist of tables.

use super::chart::chart;
use super::element::{Element, classed, element, korean, section, text};
use super::marks::label;
use super::table::Column::{Long, Number, Text};
use super::table::{bar, cell, nothing, table};
use super::words::{count, counted, duration, length, number_of, percent, short_instant};
use crate::store::{AreaPosition, Changes, FailedCell, Overview, ReportRun, StationReport};

/// The last runs, as charts and as a table.
pub(super) fn runs(overview: &Overview) -> Element {
    let runs = &overview.runs;
    let about = match runs.len() {
        1 => "The only run so far. Times are in Seoul time.".to_owned(),
        many => format!("The last {many} runs, the newest on the right. Times are in Seoul time."),
    };
    let as_table = element("details").add(text("summary", "Show as a table")).add(table(
        "The last runs, newest first",
        RUN_COLUMNS,
        runs.iter().map(run_row),
    ));
    section("Runs", &about).add(chart(runs)).add(as_table)
}

const RUN_COLUMNS: [super::table::Column; 11] = [
    Number("Run"),
    Text("Started"),
    Text("Trigger"),
    Text("Status"),
    Number("Duration"),
    Number("Requests"),
    Number("Seen"),
    Number("New"),
    Number("Changed"),
    Number("Closed"),
    Long("Verdict"),
];

fn run_row(run: &ReportRun) -> [Element; 11] {
    [
        cell(run.id),
        cell(short_instant(run.started)),
        cell(run.trigger.as_str().replace('_', " ")),
        label(run.status),
        cell(duration(run.duration_s)),
        cell(count(run.requests)),
        cell(count(run.places_seen)),
        cell(count(run.places_new)),
        cell(count(run.places_changed)),
        cell(count(run.places_closed)),
        cell(&run.verdict),
    ]
}

/// Opened and closed places, by keyword.
pub(super) fn changes(overview: &Overview) -> Element {
    let all = overview.changed;
    let about = format!(
        "In the last four weeks {} opened, {} closed, {} changed and {} reopened. A place found by several keywords is \
         counted in the row of each.",
        counted(all.opened, "place", "places"),
        count(all.closed),
        count(all.changed),
        count(all.reopened)
    );
    if all == Changes::default() {
        return section("Opened and closed", "The last four weeks, by keyword.")
            .add(nothing("No change was recorded."));
    }
    let section = section("Opened and closed", &about);
    let longest = overview.changes.iter().map(|row| length(row.changes.opened.max(row.changes.closed)));
    let longest = longest.fold(0.0, f64::max);
    let rows = overview.changes.iter().map(|row| {
        let changes = row.changes;
        [
            korean(&row.keyword),
            bar(count(changes.opened), length(changes.opened), longest, "opened"),
            bar(count(changes.closed), length(changes.closed), longest, "closed"),
            cell(count(changes.changed)),
            cell(count(changes.reopened)),
        ]
    });
    let columns = [Text("Keyword"), Number("Opened"), Number("Closed"), Number("Changed"), Number("Reopened")];
    section.add(table("Changes of the last four weeks by keyword", columns, rows))
}

/// The coverage of each keyword.
pub(super) fn coverage(overview: &Overview) -> Element {
    let stations = number_of(&overview.stations);
    let about = "A station is complete for a keyword if the last search returned all results that the API found, and \
                 truncated if the API's 45-result limit hid some. Open counts the open places around stations.";
    let rows = overview.keywords.iter().map(|row| {
        [
            korean(&row.keyword),
            bar(percent(row.complete, stations), length(row.complete), length(stations), "complete"),
            cell(count(row.truncated)),
            cell(count(row.places)),
        ]
    });
    let columns = [Text("Keyword"), Number("Complete"), Number("Truncated"), Number("Open")];
    section("Coverage", about).add(table("Coverage of the stations in use by keyword", columns, rows))
}

/// The areas that need the most requests.
pub(super) fn slow(overview: &Overview) -> Element {
    let about = format!("The areas with the most requests in {}.", newest_runs(overview));
    let section = section("Slowest areas", &about);
    if overview.busy.is_empty() {
        return section.add(nothing("No full run has cells yet."));
    }
    let longest = overview.busy.iter().map(|area| length(area.requests)).fold(0.0, f64::max);
    let rows = overview.busy.iter().map(|area| {
        [
            place(&area.position, &overview.stations),
            bar(count(area.requests), length(area.requests), longest, "requests"),
            cell(count(area.pages)),
            cell(count((area.requests - area.pages).max(0))),
        ]
    });
    let columns = [Text("Area"), Number("Requests"), Number("Pages"), Number("Repeated")];
    section.add(table("The slowest areas", columns, rows))
}

/// The areas in which cells failed.
pub(super) fn failing(overview: &Overview) -> Element {
    let about = format!(
        "Areas with failed cells in {}. A cell that fails is retried once, at the end of its run.",
        newest_runs(overview)
    );
    let section = section("Failing areas", &about);
    if overview.failing.is_empty() {
        return section.add(nothing("No cell failed."));
    }
    let rows = overview.failing.iter().map(|area| {
        // The error stands below its area, so that it can be read at any width.
        let keywords = korean(&area.keywords.join(", "));
        let error =
            classed("span", "error stacked").add(keywords).text(": ").text(area.error.as_deref().unwrap_or("–"));
        let place = element("span").add(place(&area.position, &overview.stations)).add(error);
        [place, cell(count(area.failed)), cell(count(area.once))]
    });
    let columns = [Long("Area, keywords and last error"), Number("Twice"), Number("Once")];
    section.add(table("Areas in which cells failed", columns, rows))
}

/// The cells that failed in the newest full run.
pub(super) fn failed(overview: &Overview) -> Element {
    let section = section(
        "Failed cells of the newest full run",
        "Each cell failed twice, each time after all attempts for a page.",
    );
    if overview.failed.is_empty() {
        return section.add(nothing("No cell failed."));
    }
    let rows = overview.failed.iter().map(|failed| {
        [
            searched(failed, &overview.stations),
            korean(&failed.keyword),
            cell(count(failed.requests)),
            error(failed.error.as_deref()),
        ]
    });
    let columns = [Text("Area"), Text("Keyword"), Number("Requests"), Long("Error")];
    section.add(table("Failed cells", columns, rows))
}

fn newest_runs(overview: &Overview) -> String {
    match overview.runs_looked_at {
        0 | 1 => "the newest full run".to_owned(),
        runs => format!("the newest {runs} full runs"),
    }
}

/// The name of a station, or for a rectangle that of the station nearest to its centre.
fn place(position: &AreaPosition, stations: &[StationReport]) -> Element {
    match position {
        AreaPosition::Station(name) => korean(name),
        AreaPosition::Rectangle(center) => {
            let near = center.nearest(stations, |station| station.position).map(|station| korean(&station.name));
            text("span", "rectangle near ").add_all(near)
        }
    }
}

/// The exact area: a station with its radius, or a rectangle with its corners.
fn searched(cell: &FailedCell, stations: &[StationReport]) -> Element {
    match &cell.position {
        AreaPosition::Station(_) => korean(&cell.area),
        position @ AreaPosition::Rectangle(_) => place(position, stations).text(format!(": {}", cell.area)),
    }
}

fn error(error: Option<&str>) -> Element {
    classed("span", "error").text(error.unwrap_or("–"))
}
