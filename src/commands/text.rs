//! Text on a terminal: instants, visible characters, width, truncation and wrapping.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;
use console::{measure_text_width, truncate_str};

pub(super) use crate::domain::text::visible;

/// Indent of the lines after the first if the line has no columns.
const INDENT: usize = 4;

/// Minimum width, in columns, that lines are wrapped to.
const MIN_WIDTH: usize = 20;

/// Width of a text in columns; a Hangul syllable takes two.
pub(super) fn width_of(text: &str) -> usize {
    measure_text_width(text)
}

/// Truncates a text to `width` columns, with an ellipsis if something was cut off.
pub(super) fn cut(text: &str, width: usize) -> Cow<'_, str> {
    truncate_str(text, width, "…")
}

/// Wraps a line between words to at most `width` columns. Without a width it is not wrapped. If the line has columns,
/// separated by two spaces or more, the further lines start below the second column.
pub(super) fn wrapped(line: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width.map(|width| width.max(MIN_WIDTH)).filter(|width| width_of(line) > *width) else {
        return vec![line.to_owned()];
    };
    let mut lines = Lines { done: Vec::new(), open: String::new(), used: 0, indent: hanging_indent(line, width) };
    for word in words(line) {
        if lines.used > lines.indent && lines.used + width_of(word.trim_end()) > width {
            lines.break_here();
        }
        // A word that is longer than a line is broken at the end of the line.
        for c in word.chars() {
            let columns = width_of(c.encode_utf8(&mut [0; 4]));
            if lines.used + columns > width && c != ' ' {
                lines.break_here();
            }
            lines.open.push(c);
            lines.used += columns;
        }
    }
    lines.break_here();
    lines.done
}

/// The lines of [`wrapped`] so far.
struct Lines {
    done: Vec<String>,
    open: String,
    used: usize,
    indent: usize,
}

impl Lines {
    fn break_here(&mut self) {
        let next = " ".repeat(self.indent);
        self.done.push(std::mem::replace(&mut self.open, next).trim_end().to_owned());
        self.used = self.indent;
    }
}

/// Indent of the further lines: where the second column begins, or [`INDENT`] if that is beyond half the width.
fn hanging_indent(line: &str, width: usize) -> usize {
    let start = line.len() - line.trim_start().len();
    let second = line[start..].find("  ").map(|at| start + at);
    let second = second.map(|at| &line[..line.len() - line[at..].trim_start().len()]);
    second.map(width_of).filter(|column| *column <= width / 2).unwrap_or(INDENT)
}

/// The words of a line, each with the spaces after it.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let word = rest.len() - rest.trim_start().len();
        let end = rest[word..].find(' ').map_or(rest.len(), |at| word + at);
        let end = rest.len() - rest[end..].trim_start_matches(' ').len();
        let (word, after) = rest.split_at(end);
        rest = after;
        (!word.is_empty()).then_some(word)
    })
}

/// A tick in Seoul time and UTC.
pub(super) fn describe(tick: &DateTime<Utc>) -> String {
    format!("{} Seoul ({})", tick.with_timezone(&Seoul).format("%a %Y-%m-%d %H:%M:%S"), tick.format("%a %H:%M:%S UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_breaks_between_words_below_its_second_column() {
        let line = "ok      stations: 941, 10 keywords, 9410 cells";

        assert_eq!(wrapped(line, None), [line]);
        assert_eq!(wrapped(line, Some(80)), [line]);
        assert_eq!(wrapped(line, Some(32)), ["ok      stations: 941, 10", "        keywords, 9410 cells"]);
        assert_eq!(wrapped("one two three four five six", Some(20)), ["one two three four", "    five six"]);
    }

    #[test]
    fn hangul_takes_two_columns() {
        assert_eq!(width_of("서울역 1"), 8);
        assert_eq!(cut("서울역에서", 7), "서울역…");
        assert_eq!(wrapped("강남역 서울역 신촌역 홍대입구역", Some(20)), ["강남역 서울역 신촌역", "    홍대입구역"]);
        for width in 20..60 {
            let lines = wrapped(&"상권분석 ".repeat(20), Some(width));
            assert!(lines.iter().all(|line| width_of(line) <= width), "{width}: {lines:?}");
        }
    }

    #[test]
    fn a_word_that_is_longer_than_a_line_is_broken() {
        let lines = wrapped(&format!("url  http://{}", "x".repeat(50)), Some(30));

        assert_eq!(lines, ["url  http://xxxxxxxxxxxxxxxxxx", "     xxxxxxxxxxxxxxxxxxxxxxxxx", "     xxxxxxx"]);
    }
}
