//! The page: header, sections and footer.

use chrono::NaiveDateTime;

use super::element::{Element, classed, element, korean, text};
use super::headline::headline;
use super::map::map;
use super::sections::{changes, coverage, failed, failing, runs, slow};
use super::words::instant;
use crate::domain::language::Language;
use crate::domain::price::Price;
use crate::store::Overview;

/// The content security policy: the page loads no resources and runs no scripts.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Where the data of a page comes from, and when it was read.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The name of the database.
    pub database: String,
    /// Whether it contains made-up demo data.
    pub is_demo: bool,
    /// When it was read, in Seoul time.
    pub made: NaiveDateTime,
    /// The price of a request.
    pub price: Price,
    /// The language of the page.
    pub language: Language,
}

/// The whole page.
#[must_use]
pub fn page(origin: &Origin, overview: &Overview) -> String {
    let main = match headline(overview, origin.price) {
        None => element("main").add(no_run()),
        Some(headline) => element("main")
            .add(headline)
            .add(runs(overview))
            .add(classed("div", "pair").add(changes(overview)).add(coverage(overview)))
            .add(map(overview))
            .add(classed("div", "pair").add(slow(overview)).add(failing(overview)))
            .add(failed(overview)),
    };
    whole(origin, element("body").add(header(origin)).add(main).add(footer()))
}

/// The document with this body, in the language of the page.
pub(super) fn whole(origin: &Origin, body: Element) -> String {
    let document = element("html").add(head(origin)).add(body).in_language(origin.language);
    format!("<!DOCTYPE html>\n{}\n", document.set("lang", origin.language))
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

pub(super) fn header(origin: &Origin) -> Element {
    let name = classed("span", "brand").add(korean("상권")).text(" sanggwond");
    let mut header = element("header").add(name);
    if origin.is_demo {
        header = header.add(classed("span", "demo").text("demo: made-up data"));
    }
    let made = format!("Database {}, read on {} in Seoul", origin.database, instant(origin.made));
    header.add(classed("span", "made").text(made))
}

fn no_run() -> Element {
    let how = "The daemon starts a run when one is due; `sanggwond crawl` starts one immediately.";
    classed("section", "headline").add(text("h1", "No run yet")).add(classed("p", "lead").text(how))
}

fn footer() -> Element {
    let version = format!("sanggwond {}. ", env!("CARGO_PKG_VERSION"));
    element("footer")
        .text(version)
        .text("Created by `sanggwond report`. \"Usually\" is the median of the previous full runs of the same coverage (at most \
               four, without the very first run).")
}
