//! What became of the newest run: a sentence, and its figures next to what is usual.

use super::element::{Element, classed, element, text};
use super::marks::icon;
use super::words::{count, counted, difference, duration, instant, length, number_of, percent, rounded};
use crate::domain::run::{Status, Trigger};
use crate::store::{Overview, ReportRun};

/// The sentence, the figures, and what came after. `None` where there was no run yet.
pub(super) fn headline(overview: &Overview) -> Option<Element> {
    let runs = &overview.runs;
    // A part that was run by hand is no news for Monday morning, unless there is no other.
    let at = runs.iter().position(|run| run.is_full).unwrap_or(0);
    let newest = runs.get(at)?;
    let title = element("h1").add(icon(newest.status)).add(text("span", sentence(newest)));
    let mut section = classed("section", "headline").set("aria-label", "The newest run").add(title);
    section = section.add(classed("p", "lead").text(when(newest)));
    section =
        section.add_all(newest.reason.iter().map(|reason| classed("p", "note").text(format!("Reason: {reason}."))));
    section = section.add_all(runs[..at].iter().map(|part| {
        classed("p", "note").text(format!("Since then, run {} of a part, by hand: {}.", part.id, outcome(part)))
    }));
    let worked = runs[at..].iter().find(|run| run.is_full && run.status != Status::Skipped).or_else(|| {
        // Without a full run, a part is better than nothing.
        runs[at..].iter().find(|run| run.status != Status::Skipped)
    });
    let Some(worked) = worked else { return Some(section) };
    if worked.id != newest.id {
        let told =
            format!("The figures are those of run {}, {}: {}.", worked.id, instant(worked.started), outcome(worked));
        section = section.add(classed("p", "note").text(told));
    }
    Some(section.add(figures(worked, overview)))
}

fn sentence(run: &ReportRun) -> String {
    if run.status == Status::Skipped {
        return "The run was skipped".to_owned();
    }
    format!("Run {} {}: {}", run.id, verb(run.status), outcome(run))
}

fn verb(status: Status) -> &'static str {
    match status {
        Status::Running => "is running",
        Status::Interrupted => "is interrupted",
        Status::Succeeded => "succeeded",
        Status::Partial => "is partial",
        Status::Failed => "failed",
        Status::Skipped => "was skipped",
    }
}

/// How far it got.
fn outcome(run: &ReportRun) -> String {
    let (all, seen_to) = (count(run.cells_total), count(run.cells_seen_to));
    match run.status {
        Status::Succeeded => format!("all {all} cells are done"),
        Status::Partial if run.cells_failed == 0 => format!("all {all} cells are done"),
        Status::Partial => format!("{} of {all} cells failed", count(run.cells_failed)),
        Status::Running | Status::Interrupted => format!("{seen_to} of {all} cells are done so far"),
        Status::Failed => format!("it gave up with {seen_to} of {all} cells done"),
        Status::Skipped => "it was not run".to_owned(),
    }
}

fn when(run: &ReportRun) -> String {
    let due = run.due.unwrap_or(run.started);
    match (run.status, run.trigger) {
        (Status::Skipped, _) => format!("It was due on {} in Seoul.", instant(due)),
        (_, Trigger::Schedule) => format!("Started on schedule on {} in Seoul.", instant(run.started)),
        (_, Trigger::CatchUp) => {
            format!("Started late on {} in Seoul; due on {}.", instant(run.started), instant(due))
        }
        (_, Trigger::Manual) => format!("Started by hand on {} in Seoul.", instant(run.started)),
    }
}

/// The key figures.
fn figures(run: &ReportRun, overview: &Overview) -> Element {
    let usual = run.usual;
    let keywords = number_of(&overview.keywords);
    let complete = overview.stations.iter().filter(|station| keywords > 0 && station.complete == keywords).count();
    let complete = i64::try_from(complete).unwrap_or(i64::MAX);
    let stations = number_of(&overview.stations);
    let cells = i64::from(run.cells_seen_to);
    let places = |number: i32, usual| (count(number), compared(length(number), usual, rounded));
    let figures = [
        ("Duration", (duration(run.duration_s), compared(run.duration_s, usual.duration_s, duration))),
        ("Requests", (count(run.requests), compared(length(run.requests), usual.requests, rounded))),
        ("Cells done", (percent(cells, i64::from(run.cells_total)), cells_note(run))),
        ("Places seen", places(run.places_seen, usual.places_seen)),
        ("New places", places(run.places_new, usual.places_new)),
        ("Changed places", places(run.places_changed, usual.places_changed)),
        ("Closed places", places(run.places_closed, usual.places_closed)),
        (
            "Stations complete",
            (percent(complete, stations), format!("{} of {} for every keyword", count(complete), count(stations))),
        ),
    ];
    element("dl").set("class", "figures").add_all(figures.map(|(name, (figure, note))| {
        element("div")
            .add(text("dt", name))
            .add(classed("dd", "figure").text(figure))
            .add(classed("dd", "usual").text(note))
    }))
}

fn cells_note(run: &ReportRun) -> String {
    let truncated = i64::from(run.cells_truncated);
    match run.cells_failed {
        0 => format!("{} cut off by the API", counted(truncated, "cell", "cells")),
        failed => format!("{} failed, {} cut off by the API", count(failed), count(truncated)),
    }
}

fn compared(number: f64, usual: Option<f64>, told: fn(f64) -> String) -> String {
    let Some(usual) = usual else { return "no full run before".to_owned() };
    match difference(number, usual) {
        Some(difference) => format!("usually {} ({difference})", told(usual)),
        None => format!("usually {}", told(usual)),
    }
}
