//! Bar charts of the last runs: their duration and their number of requests.
//!
//! Horizontal coordinates are percentages of the width and vertical ones are pixels, so that the charts fit any screen width
//! and the font size stays the same.

use super::element::{Element, classed, element, text};
use super::marks::{STATUSES, label, mark};
use super::scale::Scale;
use super::words::{count, day, duration, length, number_of, rounded, short_instant, time_of_day};
use crate::store::ReportRun;

/// Heights in pixels: above the bars (for the values of clipped bars), of the bars, and below them (for marks and dates).
const ABOVE: f64 = 18.0;
const BARS: f64 = 120.0;
const BELOW: f64 = 46.0;

/// Minimum number of slots; with fewer runs the rest stays empty.
const LEAST_SLOTS: usize = 13;

/// Maximum number of dates below a chart.
const MAX_DATES: usize = 7;

/// The value that a chart shows.
struct Measure {
    name: &'static str,
    of: fn(&ReportRun) -> f64,
    label: fn(f64) -> String,
    scale: fn(&[f64]) -> Scale,
}

const MEASURES: [Measure; 2] = [
    Measure { name: "Duration", of: |run| run.duration_s, label: duration, scale: Scale::of_durations },
    Measure { name: "Requests", of: |run| length(run.requests), label: rounded, scale: Scale::of_counts },
];

/// The charts. `runs` is sorted newest first; the charts show the newest run on the right.
pub(super) fn chart(runs: &[ReportRun]) -> Element {
    let runs: Vec<&ReportRun> = runs.iter().rev().collect();
    let present = STATUSES.into_iter().filter(|status| runs.iter().any(|run| run.status == *status));
    let square =
        |class| element("rect").set("class", class).set("x", -6).set("y", -6).set("width", 12).set("height", 12);
    let lines = element("path").set("class", "lines").set("d", "M-6 0L0 -6M-6 6L6 -6M0 6L6 0");
    let icon = classed("svg", "icon").set("viewBox", "-8 -8 16 16").set("aria-hidden", "true");
    let icon = icon.add(square("column succeeded")).add(lines);
    let part = (!runs.iter().all(|run| run.is_full))
        .then(|| classed("span", "status").add(icon).add(text("span", "limited to a part")));
    classed("div", "chart")
        .add_all(MEASURES.map(|measure| panel(&measure, &runs)))
        .add(classed("p", "legend").add_all(present.map(label)).add_all(part))
}

fn panel(measure: &Measure, runs: &[&ReportRun]) -> Element {
    // A run of a part is short, and would make an ordinary run look like an outlier.
    let full = runs.iter().filter(|run| run.is_full).map(|run| (measure.of)(run));
    let values: Vec<f64> = full.collect();
    let all: Vec<f64> = runs.iter().map(|run| (measure.of)(run)).collect();
    let scale = (measure.scale)(if values.is_empty() { &all } else { &values });
    let height = ABOVE + BARS + BELOW;
    let slots = runs.len().max(LEAST_SLOTS);
    let lines = scale.lines.iter().map(|line| (ABOVE + BARS * (1.0 - scale.share(*line)), (measure.label)(*line)));
    let lines: Vec<_> = lines.chain([(ABOVE + BARS, "0".to_owned())]).collect();
    let axis = classed("svg", "axis").set("height", height).set("aria-hidden", "true").add_all(
        lines.iter().map(|(y, label)| text("text", label).set("x", "100%").set("y", format!("{:.1}", y + 4.0))),
    );
    let across = |(y, _): &(f64, String)| {
        let y = format!("{y:.1}");
        classed("line", "across").set("x1", "0").set("x2", "100%").set("y1", &y).set("y2", &y)
    };
    let label = format!("{} of the last {} runs; the table below has the same data", measure.name, number_of(runs));
    let plot = classed("svg", "plot")
        .set("height", height)
        .set("role", "img")
        .set("aria-label", label)
        .add_all(lines.iter().map(across))
        .add_all(runs.iter().enumerate().map(|(at, run)| slot(measure, &scale, run, (at, slots))))
        .add_all(days(runs, slots));
    classed("div", "panel").add(text("h3", measure.name)).add(axis).add(plot)
}

/// One run: its bar, its status mark and its tooltip.
fn slot(measure: &Measure, scale: &Scale, run: &ReportRun, (at, slots): (usize, usize)) -> Element {
    let value = (measure.of)(run);
    let tall = if value > 0.0 { (BARS * scale.share(value)).max(1.0) } else { 0.0 };
    let (left, wide) = (share(at, slots), share(1, slots));
    let what = if run.is_full { "Run" } else { "Partial-scope run" };
    let said = format!(
        "{what} {}, {}: {}, {}, {} requests",
        run.id,
        short_instant(run.started),
        run.status,
        duration(run.duration_s),
        count(run.requests)
    );
    let mut drawing = element("g").add(text("title", said)).add(
        classed("rect", "slot").set("x", percent(left)).set("width", percent(wide)).set("height", ABOVE + BARS + 20.0),
    );
    if tall > 0.0 {
        let (top, tall) = (format!("{:.1}", ABOVE + BARS - tall), format!("{tall:.1}"));
        let bar = classed("rect", &format!("column {}", run.status)).set("x", percent(left + 0.22 * wide));
        drawing = drawing.add(bar.set("width", percent(0.56 * wide)).set("y", &top).set("height", &tall));
        if !run.is_full {
            let hatch = hatch(&tall).set("x", percent(left + 0.22 * wide)).set("y", &top);
            drawing = drawing.add(hatch.set("style", format!("width: {}", percent(0.56 * wide))));
        }
    }
    let middle = percent(left + 0.5 * wide);
    if scale.is_clipped(value) {
        let gap = classed("rect", "gap").set("x", percent(left)).set("width", percent(wide));
        drawing = drawing.add(gap.set("y", ABOVE + 8.0).set("height", 3));
        let beyond = text("text", (measure.label)(value)).set("class", "beyond").set("x", &middle);
        drawing = drawing.add(beyond.set("y", ABOVE - 5.0));
    }
    drawing.add(at_point(&middle, ABOVE + BARS + 13.0, mark(run.status)))
}

/// Moves the origin of a drawing to a point whose x is a percentage of the width.
fn at_point(x: &str, y: f64, drawing: Element) -> Element {
    classed("svg", "point").set("x", x).set("y", y).set("width", 1).set("height", 1).add(drawing)
}

/// The lines across the bar of a run that is limited to a part.
fn hatch(tall: &str) -> Element {
    let lines = (0..24).map(|line| format!("M0 {}L10 {}", line * 6, line * 6 - 6)).collect::<Vec<_>>().concat();
    let hatch = classed("svg", "hatch").set("height", tall).set("viewBox", format!("0 0 10 {tall}"));
    hatch.set("preserveAspectRatio", "none").add(element("path").set("d", lines))
}

/// The dates below the marks, or the times of day where several runs began on one day; the newest run always has one.
fn days(runs: &[&ReportRun], slots: usize) -> Vec<Element> {
    let every = slots.div_ceil(MAX_DATES);
    let is_labelled = |at: usize, every| (runs.len() - 1 - at).is_multiple_of(every);
    let labelled = runs.iter().enumerate().filter(|(at, _)| is_labelled(*at, every));
    let write = |(at, run): (usize, &&ReportRun)| {
        let middle = share(at, slots) + 0.5 * share(1, slots);
        // Every other date is hidden on narrow screens.
        let class = match at + 1 {
            // Centred, it would leave the card of a narrow screen.
            last if last == slots => "day last",
            _ if is_labelled(at, 2 * every) => "day",
            _ => "day minor",
        };
        let before = runs[..at].iter().enumerate().rev().find(|(at, _)| is_labelled(*at, every));
        let is_same_day = before.is_some_and(|(_, before)| before.started.date() == run.started.date());
        let label = if is_same_day { time_of_day(run.started) } else { day(run.started) };
        text("text", label).set("class", class).set("x", percent(middle)).set("y", ABOVE + BARS + 40.0)
    };
    labelled.map(write).collect()
}

/// The width of a number of slots, in percent of the chart.
fn share(slots: usize, of: usize) -> f64 {
    let exact = |number| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    100.0 * exact(slots) / exact(of)
}

fn percent(share: f64) -> String {
    format!("{share:.2}%")
}
