//! Writes CSV: exact for programs, or safe to open in a spreadsheet.

use std::borrow::Cow;
use std::io::{self, Write};

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;
use serde::Serialize;
use serde_json::Value;

use crate::clock::rfc3339;
use crate::domain::text::is_hidden;

/// Without it, Excel reads UTF-8 as the legacy encoding of the country.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// First characters of a formula: in ASCII, in the full-width form that Excel also accepts, and in the small form.
const FORMULA: [char; 15] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫'];

/// The dialect of CSV.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::commands) enum Dialect {
    /// For programs: texts unchanged, instants in UTC.
    #[default]
    Exact,
    /// For spreadsheets: a byte order mark, times in Seoul, and an apostrophe before every text that would be a
    /// formula.
    Excel,
}

/// The option that chooses the dialect.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(in crate::commands) struct DialectOption {
    /// CSV for Excel: a byte order mark, times in Seoul, and an apostrophe before every text that Excel would compute
    #[arg(long)]
    excel: bool,
}

impl DialectOption {
    /// The dialect.
    pub(in crate::commands) fn dialect(self) -> Dialect {
        if self.excel { Dialect::Excel } else { Dialect::Exact }
    }
}

impl Dialect {
    /// An instant in the format of the dialect.
    pub(in crate::commands) fn instant(self, at: DateTime<Utc>) -> String {
        match self {
            Self::Exact => rfc3339(at),
            Self::Excel => at.with_timezone(&Seoul).format("%Y-%m-%d %H:%M:%S").to_string(),
        }
    }

    fn cell(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Excel if is_formula(text) => Cow::Owned(format!("'{text}")),
            Self::Exact | Self::Excel => Cow::Borrowed(text),
        }
    }
}

/// Whether a spreadsheet would treat a text as a formula. White space and invisible characters before it do not matter.
fn is_formula(text: &str) -> bool {
    let is_skipped = |c: char| !FORMULA.contains(&c) && (c.is_whitespace() || is_hidden(c));
    text.trim_start_matches(is_skipped).starts_with(FORMULA) && !is_negative_number(text)
}

fn is_negative_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or_default();
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
        && digits.parse::<f64>().is_ok()
}

/// Writes CSV by RFC 4180. The header is written like any other row.
pub(in crate::commands) struct CsvWriter<W: Write> {
    to: csv::Writer<W>,
    dialect: Dialect,
}

impl<W: Write> CsvWriter<W> {
    pub(in crate::commands) fn new(mut to: W, dialect: Dialect) -> io::Result<Self> {
        if dialect == Dialect::Excel {
            to.write_all(BYTE_ORDER_MARK)?;
        }
        let mut builder = csv::WriterBuilder::new();
        let to = builder.has_headers(false).terminator(csv::Terminator::CRLF).from_writer(to);
        Ok(Self { to, dialect })
    }

    /// Adds a row.
    pub(in crate::commands) fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) -> io::Result<()> {
        let written = cells.into_iter().try_for_each(|cell| self.to.write_field(&*self.dialect.cell(cell.as_ref())));
        written.and_then(|()| self.to.write_record(None::<&[u8]>)).map_err(|error| {
            let words = error.to_string();
            let csv::ErrorKind::Io(error) = error.into_kind() else { return io::Error::other(words) };
            error
        })
    }

    /// Writes what is buffered.
    pub(in crate::commands) fn finish(mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The CSV cells of a row: the fields of its JSON with these names. Null is empty; arrays and objects stay JSON.
pub(in crate::commands) fn csv_row(row: &impl Serialize, columns: &[&str]) -> anyhow::Result<Vec<String>> {
    let row = serde_json::to_value(row)?;
    let cell = |column: &&str| match &row[*column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        value @ (Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => value.to_string(),
    };
    Ok(columns.iter().map(cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(dialect: Dialect, cells: &[&str]) -> String {
        let mut bytes = Vec::new();
        let mut to = CsvWriter::new(&mut bytes, dialect).unwrap();
        to.row(cells).unwrap();
        to.finish().unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn excel_rows_contain_no_formula() {
        for formula in [
            "=1+1",
            "+82-2-123",
            "-1+cmd|' /C calc'!A0",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "  =1",
            "\u{3000}=1",
            "\u{feff}=1",
            "\u{200b}=1",
            "＝1",
            "＋1",
            "－1",
            "＠a",
            "-",
        ] {
            assert_eq!(Dialect::Excel.cell(formula), format!("'{formula}"), "{formula:?}");
            assert_eq!(Dialect::Exact.cell(formula), formula);
        }
        for harmless in ["", "가게", "a=b", "37.5", "-12.5", "'=1", "02-123", "{\"name\":\"=1\"}"] {
            assert_eq!(Dialect::Excel.cell(harmless), harmless);
        }
    }

    #[test]
    fn excel_files_have_a_byte_order_mark_and_times_in_seoul() {
        let at = "2026-11-22T18:00:00Z".parse().unwrap();

        assert_eq!(written(Dialect::Exact, &["=1", "b,c", ""]), "=1,\"b,c\",\r\n");
        assert_eq!(written(Dialect::Excel, &["=1", "b,c", ""]), "\u{feff}'=1,\"b,c\",\r\n");
        assert_eq!(Dialect::Exact.instant(at), "2026-11-22T18:00:00Z");
        assert_eq!(Dialect::Excel.instant(at), "2026-11-23 03:00:00");
    }
}
