//! Rows of the database as a table that people can read.

use console::measure_text_width;
use sqlx::postgres::PgRow;
use sqlx::{Column, Row, TypeInfo, ValueRef};

/// The names of the columns, then one line per row; `–` stands for null.
///
/// The rows must come from `sqlx::raw_sql`, which gets all values as texts.
pub(crate) fn of(rows: &[PgRow]) -> String {
    let Some(first) = rows.first() else { return "no rows".to_owned() };
    let names = first.columns().iter().map(|column| column.name().to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(names).chain(rows.iter().map(values)).collect();
    let width = |column: usize| lines.iter().map(|line| measure_text_width(&line[column])).max().unwrap_or(0);
    let widths: Vec<usize> = (0..first.len()).map(width).collect();
    let padded = |(value, width): (&String, &usize)| value.clone() + &" ".repeat(width - measure_text_width(value));
    let text = |line: &Vec<String>| line.iter().zip(&widths).map(padded).collect::<Vec<_>>().join("  ");
    lines.iter().map(|line| text(line).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn values(row: &PgRow) -> Vec<String> {
    let value = |column| {
        let value = row.try_get_raw(column).unwrap();
        match (value.is_null(), value.type_info().name()) {
            (true, _) => "–".to_owned(),
            (false, "BOOL") => (value.as_str().unwrap() == "t").to_string(),
            (false, _) => value.as_str().unwrap().to_owned(),
        }
    };
    (0..row.len()).map(value).collect()
}
