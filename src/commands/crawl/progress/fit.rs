//! Fits the progress bar and the texts beside it into one line of the terminal.

use console::Term;
use indicatif::ProgressStyle;

use crate::commands::text::width_of;

/// The separator between two texts.
const GAP: &str = "  ";

/// The current width of the terminal, in columns.
pub(super) fn columns() -> usize {
    Term::stderr().size_checked().map_or(80, |(_, columns)| usize::from(columns))
}

/// The bar, the number of cells and a message, on a terminal with this many columns. A long message is truncated.
pub(super) fn with_bar(columns: usize) -> ProgressStyle {
    style(&format!("{{bar:{}}} {{pos}}/{{len}} cells{GAP}{{wide_msg}}", bar(columns)))
}

/// The number of cells and a message.
pub(super) fn without_bar() -> ProgressStyle {
    style("{pos}/{len} cells  {wide_msg}")
}

/// Only a message.
pub(super) fn message_only() -> ProgressStyle {
    style("{wide_msg}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The number of columns left beside the bar and the number of cells.
pub(super) fn room(columns: usize, done: u64, total: u64) -> usize {
    columns.saturating_sub(bar(columns) + format!(" {done}/{total} cells{GAP}").len())
}

/// The length of the bar, in columns.
fn bar(columns: usize) -> usize {
    (columns / 4).clamp(10, 30)
}

/// The non-empty texts that fit into this many columns, in their order. Those with the highest rank are omitted first.
pub(super) fn beside(parts: &[(u8, String)], columns: usize) -> String {
    let mut parts: Vec<&(u8, String)> = parts.iter().filter(|(_, text)| !text.is_empty()).collect();
    loop {
        let line = parts.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(GAP);
        let last = parts.iter().map(|(rank, _)| *rank).max();
        match last {
            Some(rank) if parts.len() > 1 && width_of(&line) > columns => parts.retain(|(other, _)| *other != rank),
            _ => return line,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_with_the_highest_rank_are_omitted_first() {
        let parts = [(3, "35 requests/s"), (2, "812 places"), (4, ""), (1, "2 failed"), (0, "5m left")];
        let parts = parts.map(|(rank, text)| (rank, text.to_owned()));

        assert_eq!(beside(&parts, 80), "35 requests/s  812 places  2 failed  5m left");
        assert_eq!(beside(&parts, 40), "812 places  2 failed  5m left");
        assert_eq!(beside(&parts, 17), "2 failed  5m left");
        assert_eq!(beside(&parts, 3), "5m left", "one text is always kept");
    }

    #[test]
    fn the_bar_leaves_room_for_the_texts() {
        assert_eq!([40, 60, 80, 120, 200].map(bar), [10, 15, 20, 30, 30]);
        assert_eq!(room(60, 9410, 9410), 60 - 15 - " 9410/9410 cells  ".len());
        assert_eq!(room(10, 9410, 9410), 0);
    }
}
