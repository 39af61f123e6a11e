//! The live page: the situation now. It has no script; the browser loads it again because the server asks for that.

use super::element::{Element, classed, element, text};
use super::marks::icon;
use super::page::{Origin, header, whole};
use super::sections;
use crate::domain::run::Status;
use crate::store::{Overview, ReportRun};

/// What the live page shows.
#[derive(Debug)]
pub struct Live {
    /// The mark beside the verdict.
    pub mark: Status,
    /// Headings, each with a text. The first is the verdict.
    pub facts: Vec<(&'static str, String)>,
    /// The unfinished runs.
    pub progress: Vec<Progress>,
    /// The last runs, newest first.
    pub runs: Vec<ReportRun>,
    /// Whether the browser loads the page again by itself.
    pub is_refreshed: bool,
}

/// How far an unfinished run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// The run.
    pub run: i64,
    /// Cells that are done, split or failed.
    pub done: i32,
    /// All cells.
    pub total: i32,
}

/// The page.
#[must_use]
pub fn live(origin: &Origin, live: Live) -> String {
    let Live { mark, facts, progress, runs, is_refreshed } = live;
    let mut facts = facts.into_iter();
    let verdict = facts.next().map(|(_, verdict)| verdict).unwrap_or_default();
    let title = element("h1").add(icon(mark)).add(text("span", sentence(&verdict)));
    let rows = facts.map(|(head, fact)| element("div").add(text("dt", sentence(head))).add(text("dd", fact)));
    let now = classed("section", "headline")
        .set("aria-label", "The situation")
        .add(title)
        .add_all(progress.into_iter().map(bar))
        .add(classed("dl", "facts").add_all(rows))
        .add(links(is_refreshed));
    let mut main = element("main").add(now);
    if !runs.is_empty() {
        main = main.add(sections::runs(&Overview { runs, ..Overview::default() }));
    }
    page(origin, main)
}

/// The page if the situation cannot be read.
#[must_use]
pub fn unavailable(origin: &Origin, why: &str) -> String {
    let title = element("h1").add(icon(Status::Failed)).add(text("span", "The database cannot be read"));
    let how = "The daemon keeps running and retries. Load the page again later.";
    let now = classed("section", "headline")
        .add(title)
        .add(classed("p", "lead").text(format!("{}.", sentence(why))))
        .add(classed("p", "note").text(how))
        .add(links(true));
    page(origin, element("main").add(now))
}

fn page(origin: &Origin, main: Element) -> String {
    let footer = element("footer")
        .text(format!("sanggwond {}. ", env!("CARGO_PKG_VERSION")))
        .text("The page of the daemon; `sanggwond status` prints the same.");
    let body = element("body").add(header(origin)).add(main).add(footer);
    whole(origin, body)
}

/// The bar of an unfinished run. Its numbers are in the facts.
fn bar(Progress { run, done, total }: Progress) -> Element {
    element("progress")
        .set("max", total.max(1))
        .set("value", done)
        .set("aria-label", format!("Cells of run {run} that are done"))
        .text(format!("{done} of {total}"))
}

fn links(is_refreshed: bool) -> Element {
    let link = |to: &str, words: &str| text("a", words).set("href", to);
    let refresh = if is_refreshed { link("/?refresh=off", "Stop refreshing") } else { link("/", "Refresh by itself") };
    classed("nav", "links")
        .set("aria-label", "Pages")
        .add(link("/report", "Report with map and changes"))
        .add(link("/metrics", "Metrics"))
        .add(refresh)
}

/// A text with a capital letter at its beginning.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
