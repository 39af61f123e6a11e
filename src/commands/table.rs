//! Prints a table on a terminal: one line per row, also on a narrow terminal.

use super::text::{cut, width_of};

/// The separator between two columns.
const GAP: &str = "  ";

/// Minimum width of the last column.
const MIN_LAST: usize = 20;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    /// Its heading.
    pub(super) head: &'static str,
    /// Whether it is right-aligned, like numbers.
    pub(super) is_number: bool,
    /// If there is no room for all columns, the one with the highest rank is omitted first. Rank 0 is always shown.
    pub(super) rank: u8,
}

impl Column {
    /// A column of text.
    pub(super) const fn text(head: &'static str, rank: u8) -> Self {
        Self { head, is_number: false, rank }
    }

    /// A column of numbers.
    pub(super) const fn number(head: &'static str, rank: u8) -> Self {
        Self { head, is_number: true, rank }
    }
}

/// The lines of a table: its header and its rows. If there is a width, columns are omitted by their rank and the last one
/// is truncated until the table fits.
pub(super) fn lines<const N: usize>(columns: &[Column; N], rows: &[[String; N]], width: Option<usize>) -> Vec<String> {
    let heads = columns.map(|column| column.head.to_owned());
    let widest = |at: usize| rows.iter().chain([&heads]).map(|row| width_of(&row[at])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(widest).collect();
    let shown = shown(columns, &widths, width);
    let room = width.map(|width| width.saturating_sub(taken(&shown[..shown.len() - 1], &widths)));
    let line = |row: &[String; N]| {
        let cells = shown.iter().map(|at| match room.filter(|_| *at == N - 1) {
            Some(room) => cut(&row[*at], room).into_owned(),
            None => padded(&row[*at], widths[*at], columns[*at].is_number),
        });
        cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    [&heads].into_iter().chain(rows).map(line).collect()
}

/// The columns that fit.
fn shown(columns: &[Column], widths: &[usize], width: Option<usize>) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let Some(width) = width else { return shown };
    let of_last = widths.last().map_or(0, |last| MIN_LAST.min(*last));
    while taken(&shown[..shown.len() - 1], widths) + of_last > width {
        let Some(first) = shown.iter().copied().filter(|at| columns[*at].rank > 0).max_by_key(|at| columns[*at].rank)
        else {
            break;
        };
        shown.retain(|at| *at != first);
    }
    shown
}

/// The width of some columns, including the separators after them.
fn taken(shown: &[usize], widths: &[usize]) -> usize {
    shown.iter().map(|at| widths[*at] + GAP.len()).sum()
}

fn padded(cell: &str, width: usize, is_number: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(width_of(cell)));
    if is_number { blanks + cell } else { cell.to_owned() + &blanks }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column::number("run", 0),
        Column::text("station", 1),
        Column::number("requests", 2),
        Column::text("verdict", 0),
    ];

    fn rows() -> Vec<[String; 4]> {
        let verdict = "12 of 360 cells failed: 503, the API is not available".to_owned();
        vec![
            ["9".to_owned(), "서울역".to_owned(), "12925".to_owned(), verdict],
            ["10".to_owned(), "신촌".to_owned(), "8".to_owned(), "all 6 cells done".to_owned()],
        ]
    }

    #[test]
    fn without_a_terminal_rows_are_complete() {
        let lines = lines(&COLUMNS, &rows(), None);

        assert_eq!(lines[0], "run  station  requests  verdict");
        assert_eq!(lines[1], "  9  서울역      12925  12 of 360 cells failed: 503, the API is not available");
        assert_eq!(lines[2], " 10  신촌            8  all 6 cells done");
    }

    #[test]
    fn on_a_narrow_terminal_columns_are_omitted_and_the_last_one_is_truncated() {
        let at = |width| lines(&COLUMNS, &rows(), Some(width));

        assert_eq!(at(50)[1], "  9  서울역      12925  12 of 360 cells failed: 5…");
        assert_eq!(at(40)[1], "  9  서울역   12 of 360 cells failed: 5…");
        assert_eq!(at(30)[0], "run  verdict");
        assert_eq!(at(30)[1], "  9  12 of 360 cells failed: …");
        for width in 25..100 {
            assert!(at(width).iter().all(|line| width_of(line) <= width), "{width}: {:?}", at(width));
        }
    }
}
