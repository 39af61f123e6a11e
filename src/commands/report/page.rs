//! The page: its head, its sections in order, its foot.

use chrono::NaiveDateTime;

use super::element::{Element, classed, element, korean, text};
use super::headline::headline;
use super::map::map;
use super::sections::{changes, coverage, failed, failing, runs, slow};
use super::words::instant;
use crate::store::Overview;

/// Nothing is loaded from anywhere, and no script runs.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Where and when a page was made.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The name of the database.
    pub(super) database: String,
    /// Whether its world is made up.
    pub(super) is_demo: bool,
    /// The time in Seoul.
    pub(super) made: NaiveDateTime,
}

/// The whole page.
pub(super) fn page(origin: &Origin, overview: &Overview) -> String {
    let main = match headline(overview) {
        None => element("main").add(no_run()),
        Some(headline) => element("main")
            .add(headline)
            .add(runs(overview))
            .add(classed("div", "pair").add(changes(overview)).add(coverage(overview)))
            .add(map(overview))
            .add(classed("div", "pair").add(slow(overview)).add(failing(overview)))
            .add(failed(overview)),
    };
    let body = element("body").add(header(origin)).add(main).add(footer());
    format!("<!DOCTYPE html>\n{}\n", element("html").set("lang", "en").add(head(origin)).add(body))
}

fn head(origin: &Origin) -> Element {
    let meta = |name, content: &str| element("meta").set("name", name).set("content", content);
    element("head")
        .add(element("meta").set("charset", "utf-8"))
        .add(element("meta").set("http-equiv", "Content-Security-Policy").set("content", POLICY))
        .add(meta("viewport", "width=device-width, initial-scale=1"))
        .add(meta("color-scheme", "light dark"))
        .add(meta("robots", "noindex"))
        .add(text("title", format!("sanggwond: {}", origin.made.format("%Y-%m-%d"))))
        .add(element("style").trusted(include_str!("page.css")))
}

fn header(origin: &Origin) -> Element {
    let name = classed("span", "brand").add(korean("상권")).text(" sanggwond");
    let mut header = element("header").add(name);
    if origin.is_demo {
        header = header.add(classed("span", "demo").text("demo: a made-up world"));
    }
    let made = format!("Database {}, read on {} in Seoul", origin.database, instant(origin.made));
    header.add(classed("span", "made").text(made))
}

fn no_run() -> Element {
    let how = "Nothing is known yet. The daemon runs when it is due, and `sanggwond crawl` runs at once.";
    classed("section", "headline").add(text("h1", "There was no run yet")).add(classed("p", "lead").text(how))
}

fn footer() -> Element {
    let version = format!("sanggwond {}. ", env!("CARGO_PKG_VERSION"));
    element("footer")
        .text(version)
        .text("Made by `sanggwond report`. The usual value is the median of the four full runs before.")
}
