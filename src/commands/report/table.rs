//! Tables, and bars within them.

use super::element::{Element, classed, element, text};

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Text, from the left.
    Text(&'static str),
    /// Text that may take several lines.
    Long(&'static str),
    /// A number, from the right.
    Number(&'static str),
}

impl Column {
    fn class(self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Long(_) => "long",
            Self::Number(_) => "number",
        }
    }

    fn head(self) -> &'static str {
        match self {
            Self::Text(head) | Self::Long(head) | Self::Number(head) => head,
        }
    }
}

/// A table; the first cell of a row is its head. A narrow screen scrolls within it.
pub(super) fn table<const N: usize>(
    caption: &str,
    columns: [Column; N],
    rows: impl IntoIterator<Item = [Element; N]>,
) -> Element {
    let heads = columns.iter().map(|column| text("th", column.head()).set("scope", "col").set("class", column.class()));
    let body = rows.into_iter().map(|cells| {
        element("tr").add_all(cells.into_iter().zip(columns).enumerate().map(|(at, (cell, column))| {
            let holder = if at == 0 { element("th").set("scope", "row") } else { element("td") };
            holder.set("class", column.class()).add(cell)
        }))
    });
    let table = element("table")
        .add(text("caption", caption))
        .add(element("thead").add(element("tr").add_all(heads)))
        .add(element("tbody").add_all(body));
    // What scrolls must be within reach of the keyboard.
    classed("div", "scroll").set("tabindex", 0).set("role", "group").set("aria-label", caption).add(table)
}

/// A cell with a text.
pub(super) fn cell(content: impl std::fmt::Display) -> Element {
    text("span", content)
}

/// A number beside a bar that is as long as its share of the longest.
pub(super) fn bar(number: String, length: f64, longest: f64, class: &str) -> Element {
    let share = if longest > 0.0 { (100.0 * length / longest).clamp(0.0, 100.0) } else { 0.0 };
    let mut drawing = classed("svg", "bar").set("aria-hidden", "true");
    drawing = drawing.add(classed("rect", "track").set("width", "100%").set("height", "100%"));
    if share > 0.0 {
        drawing =
            drawing.add(element("rect").set("class", class).set("width", format!("{share:.1}%")).set("height", "100%"));
    }
    classed("span", "measured").add(text("span", number)).add(drawing)
}

/// What stands in the place of a table without rows.
pub(super) fn nothing(sentence: &str) -> Element {
    classed("p", "nothing").text(sentence)
}
