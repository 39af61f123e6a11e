//! The result of the newest run: one sentence, and its figures compared with those of earlier runs.

use super::element::{Element, classed, element, text};
use super::marks::icon;
use super::words::{count, counted, difference, duration, instant, length, number_of, percent, rounded};
use crate::domain::price::Price;
use crate::domain::run::{Status, Trigger};
use crate::domain::words::first_few;
use crate::store::{Overview, ReportRun};

/// The section about the newest run, or `None` if there is no run yet.
pub(super) fn headline(overview: &Overview, price: Price) -> Option<Element> {
    let runs = &overview.runs;
    // Show the newest full run; a partial-scope run only if there is no full one.
    let at = runs.iter().position(|run| run.is_full).unwrap_or(0);
    let newest = runs.get(at)?;
    let title = element("h1").add(icon(newest.status)).add(text("span", sentence(newest)));
    let mut section = classed("section", "headline").set("aria-label", "The newest run").add(title);
    section = section.add(classed("p", "lead").text(when(newest)));
    section =
        section.add_all(newest.reason.iter().map(|reason| classed("p", "note").text(format!("Reason: {reason}."))));
    section = section.add_all(facts(newest).into_iter().map(|fact| classed("p", "note").text(fact)));
    section = section.add_all(runs[..at].iter().map(|part| {
        classed("p", "note").text(format!("Since then, partial-scope run {}: {}.", part.id, outcome(part)))
    }));
    // A skipped run has no figures, so those of an earlier run are shown.
    let with_figures = runs[at..].iter().find(|run| run.is_full && run.status != Status::Skipped).or_else(|| {
        // Without a full run, use the figures of a partial-scope run.
        runs[at..].iter().find(|run| run.status != Status::Skipped)
    });
    let Some(with_figures) = with_figures else { return Some(section) };
    if with_figures.id != newest.id {
        let ReportRun { id, started, .. } = *with_figures;
        let note = format!(
            "The figures are those of run {id}, started on {} in Seoul: {}.",
            instant(started),
            outcome(with_figures)
        );
        section = section.add(classed("p", "note").text(note));
    }
    Some(section.add(figures(with_figures, overview, price)))
}

fn sentence(run: &ReportRun) -> String {
    if run.status == Status::Skipped {
        return "The run was skipped".to_owned();
    }
    if run.status == Status::Partial && run.cells_failed == 0 {
        return format!("Run {} is partial although {}", run.id, outcome(run));
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
        Status::Cancelled => "was cancelled",
        Status::Skipped => "was skipped",
    }
}

/// How many cells are done, or how many failed.
fn outcome(run: &ReportRun) -> String {
    let (all, done) = (count(run.cells_total), count(run.cells_seen_to));
    match run.status {
        Status::Succeeded => format!("all {all} cells are done"),
        Status::Partial if run.cells_failed == 0 => format!("all {all} cells are done"),
        Status::Partial => format!("{} of {all} cells failed", count(run.cells_failed)),
        Status::Running | Status::Interrupted => format!("{done} of {all} cells are done so far"),
        Status::Failed | Status::Cancelled => format!("it stopped after {done} of {all} cells"),
        Status::Skipped => "no cell was searched".to_owned(),
    }
}

fn when(run: &ReportRun) -> String {
    let due = run.due.unwrap_or(run.started);
    match (run.status, run.trigger) {
        (Status::Skipped, _) => format!("It was due on {} in Seoul.", instant(due)),
        (_, Trigger::Schedule) => format!("Started on schedule on {} in Seoul.", instant(run.started)),
        (_, Trigger::CatchUp) => {
            format!("Started late on {} in Seoul; it was due on {} in Seoul.", instant(run.started), instant(due))
        }
        (_, Trigger::Request) => format!("Started on request on {} in Seoul.", instant(run.started)),
        (_, Trigger::Manual) => format!("Started manually on {} in Seoul.", instant(run.started)),
    }
}

/// Facts that apply to some runs only: a pause, changes of the API that had no consequence, retired stations and keywords, rejected documents, truncated texts, and where
/// the time of a long run went.
fn facts(run: &ReportRun) -> Vec<String> {
    let paused = run.pause_reason.as_deref().zip(run.paused_since).map(|(reason, since)| {
        let next = run
            .paused_until
            .map(|until| format!("; the next request is sent on {} in Seoul", instant(until)))
            .unwrap_or_default();
        format!("Requests have been paused since {} in Seoul{next}. Reason: {reason}.", instant(since))
    });
    let retired = run.retired.as_ref().and_then(retired);
    let rejected = (run.documents_rejected > 0).then(|| {
        let rejected = counted(run.documents_rejected, "document was", "documents were");
        let example = run.rejected_example.as_ref().map(|example| format!(", for example {example}"));
        format!("{rejected} rejected{}.", example.unwrap_or_default())
    });
    let cut = (run.texts_cut > 0).then(|| {
        format!("{} truncated.", counted(run.texts_cut, "text was too long and was", "texts were too long and were"))
    });
    let drift = run.canaries.warnings().map(|text| format!("The API has changed: {text}."));
    let spent = run.time_spent.describe().map(|spent| format!("Its time: {spent}."));
    paused.into_iter().chain(drift).chain(retired).chain(rejected).chain(cut).chain(spent).collect()
}

/// What a run retired, as a sentence; `None` if it retired nothing.
fn retired(retired: &serde_json::Value) -> Option<String> {
    let names = |key: &str, one: &str, many: &str| {
        let names = retired[key].as_array().filter(|names| !names.is_empty())?;
        let list: Vec<&str> = names.iter().filter_map(|name| name.as_str()).collect();
        Some(format!("{} ({})", counted(number_of(names), one, many), first_few(&list)))
    };
    let radius = retired["radius_m"].as_object();
    let radius = radius.map(|radius| format!("radius changed from {} m to {} m", radius["from"], radius["to"]));
    let parts = [names("stations", "station", "stations"), names("keywords", "keyword", "keywords"), radius];
    let parts = parts.into_iter().flatten().collect::<Vec<_>>();
    let rows =
        retired["rows"].as_i64().map(|rows| format!("; {} removed from local_info", counted(rows, "row", "rows")));
    (!parts.is_empty()).then(|| format!("Retired: {}{}.", parts.join(", "), rows.unwrap_or_default()))
}

/// The key figures.
fn figures(run: &ReportRun, overview: &Overview, price: Price) -> Element {
    // What a run has done so far is not comparable.
    let is_at_work = run.status.is_unfinished();
    let usual = run.usual;
    let compared =
        |number, usual, shown| if is_at_work { so_far(usual, shown) } else { compared(number, usual, shown) };
    let keywords = number_of(&overview.keywords);
    let complete = overview.stations.iter().filter(|station| keywords > 0 && station.complete == keywords).count();
    let complete = i64::try_from(complete).unwrap_or(i64::MAX);
    let stations = number_of(&overview.stations);
    let cells = i64::from(run.cells_seen_to);
    let places = |number: i32, usual| (count(number), compared(length(number), usual, rounded));
    let this_month = overview.used.this_month;
    let month = format!("{} this month, for {} requests", price.cost(this_month), count(this_month));
    let cost = (!price.is_free()).then(|| ("Cost", (price.cost(run.requests), month)));
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
            (percent(complete, stations), format!("{} of {} for all keywords", count(complete), count(stations))),
        ),
    ];
    element("dl").set("class", "figures").add_all(figures.into_iter().chain(cost).map(|(name, (figure, note))| {
        element("div")
            .add(text("dt", name))
            .add(classed("dd", "figure").text(figure))
            .add(classed("dd", "usual").text(note))
    }))
}

fn cells_note(run: &ReportRun) -> String {
    let truncated = i64::from(run.cells_truncated);
    match run.cells_failed {
        0 => format!("{} truncated by the API's 45-result limit", counted(truncated, "cell", "cells")),
        failed => format!("{} failed, {} truncated by the API's 45-result limit", count(failed), count(truncated)),
    }
}

fn so_far(usual: Option<f64>, shown: fn(f64) -> String) -> String {
    usual.map_or_else(|| "so far".to_owned(), |usual| format!("so far; usually {}", shown(usual)))
}

fn compared(number: f64, usual: Option<f64>, shown: fn(f64) -> String) -> String {
    let Some(usual) = usual else { return "no earlier run to compare with".to_owned() };
    match difference(number, usual) {
        Some(difference) => format!("usually {} ({difference})", shown(usual)),
        None => format!("usually {}", shown(usual)),
    }
}
