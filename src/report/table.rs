//! The tables of the report, and the bars in their cells.

use super::element::{Element, classed, element, text};

/// A column: how its cells are laid out, and its heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Left-aligned text on one line.
    Text(&'static str),
    /// Left-aligned text that may wrap.
    Long(&'static str),
    /// A right-aligned number.
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

    fn heading(self) -> &'static str {
        match self {
            Self::Text(heading) | Self::Long(heading) | Self::Number(heading) => heading,
        }
    }
}

/// A table. The first cell of each row is the row's header (`th`). On a narrow screen the table scrolls horizontally.
pub(super) fn table<const N: usize>(
    caption: &str,
    columns: [Column; N],
    rows: impl IntoIterator<Item = [Element; N]>,
) -> Element {
    let headings =
        columns.iter().map(|column| text("th", column.heading()).set("scope", "col").set("class", column.class()));
    let body = rows.into_iter().map(|cells| {
        element("tr").add_all(cells.into_iter().zip(columns).enumerate().map(|(index, (content, column))| {
            let cell = if index == 0 { element("th").set("scope", "row") } else { element("td") };
            cell.set("class", column.class()).add(content)
        }))
    });
    let table = element("table")
        .add(text("caption", caption))
        .add(element("thead").add(element("tr").add_all(headings)))
        .add(element("tbody").add_all(body));
    // Only a focusable region can be scrolled with the keyboard.
    classed("div", "scroll").set("tabindex", 0).set("role", "group").set("aria-label", caption).add(table)
}

/// The content of a cell with text.
pub(super) fn cell(content: impl std::fmt::Display) -> Element {
    text("span", content)
}

/// The content of a cell with a number and a bar. The bar fills `length / longest` of the width; `class` sets its colour.
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

/// A sentence to show where a table would have no rows.
pub(super) fn nothing(sentence: &str) -> Element {
    classed("p", "nothing").text(sentence)
}
