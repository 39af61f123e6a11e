//! The station file: facts about stations, one row per station and line.
//!
//! The format is `name,region,latitude,longitude,line`, UTF-8, without header. A header, a byte order mark, CRLF and
//! blank lines are accepted, because real files have them. A row with unusable values is ignored and reported; it does
//! not affect the position of a station. A misplaced quote or an invisible character is an error, because it may hide
//! other rows.

mod left_out;
mod lines;
mod row;

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use crate::config::regular_file;
use crate::domain::station::{Platform, Station, merge};
use crate::domain::text;
use lines::Lines;

pub use left_out::{LeftOut, Rejected};

/// The compiled-in file; its origin is in `data/SOURCE.md`.
const COMPILED_IN: &[u8] = include_bytes!("../data/subwayinfo.csv");

/// Maximum number of unusable rows. A file with more is the wrong file, or broken.
const MOST_LEFT_OUT: u64 = 1000;

/// Why the stations cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("could not read the station file {0}")]
    Unreadable(PathBuf, #[source] io::Error),
    /// A line is not UTF-8.
    #[error("{path}, line {line}: this is not UTF-8; save the station file in UTF-8")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
    /// A line has a misplaced quote or an invisible character.
    #[error("{path}, line {line}, column {column}: {reason}")]
    Text {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// The character within the line, counted from 1.
        column: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The file has no usable row.
    #[error("{path} has no usable station; a row is name,region,latitude,longitude,line{}", .left_out.reasons())]
    Empty {
        /// The file.
        path: PathBuf,
        /// Its unusable rows.
        left_out: LeftOut,
    },
    /// The file has too many unusable rows.
    #[error(
        "{path} has {} rows that cannot be used, and at most {MOST_LEFT_OUT} are ignored; a row is \
         name,region,latitude,longitude,line{}", .left_out.total, .left_out.reasons()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// Its unusable rows.
        left_out: LeftOut,
    },
}

/// Reads the stations of `file`, or the compiled-in ones, and the rows that are ignored.
///
/// A large file takes seconds, so async code must call this on a thread that may block.
///
/// # Errors
/// When the file cannot be read, is not UTF-8, has a misplaced quote or an invisible character, has no usable row, or
/// has more than 1000 unusable rows.
pub fn load(file: Option<&Path>) -> Result<(Vec<Station>, LeftOut), Error> {
    let Some(path) = file else { return read(COMPILED_IN, Path::new("the compiled-in station file")) };
    let file = regular_file::open(path).map_err(|error| Error::Unreadable(path.to_owned(), error))?;
    read(BufReader::new(file), path)
}

fn read(from: impl BufRead, path: &Path) -> Result<(Vec<Station>, LeftOut), Error> {
    let (mut lines, mut bytes) = (Lines::new(from), Vec::new());
    let (mut platforms, mut left_out) = (Vec::new(), LeftOut::default());
    let mut is_first = true;
    for line in 1.. {
        if !lines.next_into(&mut bytes).map_err(|error| Error::Unreadable(path.to_owned(), error))? {
            break;
        }
        // A byte order mark is not part of the text.
        let text = if line == 1 { bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes) } else { &bytes };
        match row(text, (path, line), &mut is_first)? {
            Some(Ok(platform)) => platforms.push(platform),
            Some(Err(reason)) => left_out.add(line, reason),
            None => {}
        }
    }
    if platforms.is_empty() {
        return Err(Error::Empty { path: path.to_owned(), left_out });
    }
    if left_out.total > MOST_LEFT_OUT {
        return Err(Error::Broken { path: path.to_owned(), left_out });
    }
    Ok((merge(platforms), left_out))
}

/// The platform of a row, or why the row is unusable; `None` for a blank line and for the header.
fn row(
    bytes: &[u8],
    (path, line): (&Path, u64),
    is_first: &mut bool,
) -> Result<Option<Result<Platform, String>>, Error> {
    let text = str::from_utf8(bytes).map_err(|_| Error::Encoding { path: path.to_owned(), line })?;
    let unusable = |column, reason| Error::Text { path: path.to_owned(), line, column, reason };
    if let Some(invisible) = text::invisible(text) {
        return Err(unusable(invisible.column, format!("there is {invisible}; remove it")));
    }
    let fields = row::fields(text).map_err(|stray| unusable(stray.column, stray.reason.to_owned()))?;
    if fields.iter().all(String::is_empty) {
        return Ok(None);
    }
    let is_header = std::mem::take(is_first) && row::is_header(&fields);
    Ok((!is_header).then(|| row::platform(text, &fields)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ROW: &str = "가능역,수도권,37.748,127.044,1호선\n";

    fn stations(text: &str) -> (Vec<Station>, Vec<Rejected>) {
        let (stations, left_out) = read(text.as_bytes(), Path::new("stations.csv")).unwrap();
        assert_eq!(left_out.more(), 0);
        (stations, left_out.first)
    }

    #[test]
    fn the_compiled_in_file_has_941_stations_of_911_names() {
        let (stations, left_out) = load(None).unwrap();

        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        for station in &stations {
            *by_name.entry(&station.name).or_default() += 1;
        }
        assert_eq!((stations.len(), by_name.len(), left_out.total), (941, 911, 0));
        let shared: Vec<_> = by_name.values().filter(|count| **count > 1).collect();
        assert_eq!((shared.len(), shared.into_iter().sum::<usize>()), (28, 58));
        assert_eq!((by_name["신촌역"], by_name["양평역"], by_name["시청역"], by_name["교대역"]), (2, 2, 3, 3));
        assert_eq!(stations.iter().find(|station| station.name == "서울역").unwrap().lines.len(), 5);
    }

    #[test]
    fn a_header_a_byte_order_mark_crlf_and_blank_lines_are_accepted() {
        let (stations, rejected) = stations(
            "\u{feff}역명,지역,위도,경도,호선\r\n\r\n가능역,수도권,37.748,127.044,1호선\r\n  \r\n\"가산, 디지털\",수도권,37.48,126.88,7호선\r\n",
        );

        assert_eq!(
            stations.iter().map(|station| station.name.as_str()).collect::<Vec<_>>(),
            ["가능역", "가산, 디지털"]
        );
        assert_eq!(rejected, []);
    }

    #[test]
    fn an_invalid_row_is_skipped_with_its_line_and_reason() {
        let (stations, rejected) = stations(
            "가능역,수도권,37.748,127.044,1호선\n나,수도권,,127,1호선\n\n다,수도권,127.044,37.748,1호선\n라,수도권,0,0,1호선\n마,수도권,37.7\n,수도권,37.7,127,1호선\n바,수도권,NaN,127,1호선\n",
        );

        assert_eq!(stations.len(), 1);
        let reasons: Vec<String> = rejected.iter().map(ToString::to_string).collect();
        assert_eq!(reasons[0], "line 2: 나: it has no latitude: \"\"");
        assert_eq!(reasons[1], "line 4: 다: latitude 127.044 and longitude 37.748 are swapped");
        assert_eq!(reasons[2], "line 5: 라: latitude 0 and longitude 0 are not in Korea");
        assert_eq!(reasons[3], "line 6: it has 3 columns, not 5: name,region,latitude,longitude,line");
        assert_eq!(reasons[4], "line 7: it has no name");
        assert_eq!(reasons[5], "line 8: 바: latitude NaN and longitude 127 are not in Korea");
    }

    fn refusal(text: &str) -> String {
        read(text.as_bytes(), Path::new("stations.csv")).unwrap_err().to_string()
    }

    #[test]
    fn an_unclosed_quote_is_an_error_with_its_line() {
        let rows: String =
            (1..=9).map(|nth| format!("역{nth},수도권,37.5,127.{nth},1호선\n")).collect::<Vec<_>>().concat();

        assert_eq!(
            refusal(&rows.replace("역5,", "\"역5,")),
            "stations.csv, line 5, column 1: the quote that opens here is not closed on its line"
        );
        // If quotes could span lines, these two would swallow all rows between them.
        assert!(refusal(&rows.replace("역5,", "\"역5,").replace("역8,", "\"역8,")).contains("line 5, column 1"));
        assert_eq!(
            refusal(&rows.replace("역5,", "역5\",")),
            "stations.csv, line 5, column 3: a quote within a text that is not in quotes; write the whole text in quotes, and \
             this quote twice"
        );
        assert_eq!(
            refusal(&rows.replace("역5,", "\"역\"5,")),
            "stations.csv, line 5, column 4: a text goes on behind its closing quote"
        );
    }

    #[test]
    fn a_quoted_name_may_hold_commas_and_quotes() {
        let (stations, _) = stations("\"가 \"\"나\"\", 다\" , 수도권,\"37.5\",127,1호선\n");

        assert_eq!(stations[0].name, "가 \"나\", 다");
    }

    #[test]
    fn an_invisible_character_is_an_error_with_line_and_column() {
        let with = |character| refusal(&format!("가,b,37.5,127,1\n강{character}남,b,37.6,127,1\n"));

        assert_eq!(with('\u{200b}'), "stations.csv, line 2, column 2: there is U+200B, a zero width space; remove it");
        assert_eq!(with('\0'), "stations.csv, line 2, column 2: there is U+0000, a NUL; remove it");
        for character in
            ['\u{1}', '\u{7f}', '\u{85}', '\u{ad}', '\u{200d}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{fffd}']
        {
            assert!(with(character).contains("line 2, column 2: there is U+"), "{character:?}");
        }
    }

    #[test]
    fn names_are_trimmed_of_any_white_space_and_composed() {
        let (stations, rejected) = stations(
            "\u{a0}가능역\u{3000},\u{3000}수도권\u{a0},\u{a0}37.748,127.044\u{3000},\t1호선\n\
             \u{1100}\u{1161}\u{1102}\u{1173}\u{11bc}\u{110b}\u{1167}\u{11a8},수도권,37.748,127.044,1\u{1112}\u{1169}\u{1109}\u{1165}\u{11ab}\n",
        );

        assert_eq!(rejected, []);
        assert_eq!(stations.len(), 1);
        assert_eq!((stations[0].name.as_str(), stations[0].region.as_str()), ("가능역", "수도권"));
        assert_eq!(stations[0].lines, ["1호선"]);
    }

    #[test]
    fn a_file_without_a_usable_row_shows_the_first_three_reasons() {
        let row = "가능역;수도권;37.748;127.044;1호선\n";

        assert_eq!(
            refusal(&row.repeat(5)),
            "stations.csv has no usable station; a row is name,region,latitude,longitude,line; line 1: its columns are \
             separated by semicolons; write commas; line 2: its columns are separated by semicolons; write commas; line 3: \
             its columns are separated by semicolons; write commas; 2 more rows"
        );
        for (row, reason) in [
            ("가능역,수도권,127.044,37.748,1호선", "가능역: latitude 127.044 and longitude 37.748 are swapped"),
            (
                "가능역,수도권,37°44'54\"N,127°2'38\"E,1호선",
                "가능역: the latitude \"37°44'54\\\"N\" is in degrees, minutes and seconds; write decimal degrees, such as 37.5552",
            ),
            ("가능역,수도권,37 44 54,127 2 38,1호선", "is in degrees, minutes and seconds"),
            ("가능역,수도권,37:44:54,127:02:38,1호선", "is in degrees, minutes and seconds"),
            ("가능역\t수도권\t37.748\t127.044\t1호선", "its columns are separated by tabs; write commas"),
            ("가능역|수도권|37.748|127.044|1호선", "its columns are separated by bars; write commas"),
            ("가능역;수도권;37,748;127,044;1호선", "its columns are separated by semicolons; write commas"),
            (
                "가능역,수도권,37,748,127,044,1호선",
                "its coordinates have decimal commas; write points, such as 37.5552",
            ),
            ("가능역,수도권,\"37,748\",\"127,044\",1호선", "has a decimal comma; write a point, such as 37.5552"),
            ("가능역,수도권,553901.5,953901.2,1호선", "are metres of a map projection; write degrees (WGS84)"),
        ] {
            let refusal = refusal(&format!("{row}\n"));

            assert!(refusal.contains("line 1: ") && refusal.contains(reason), "{reason}: {refusal}");
        }
    }

    #[test]
    fn a_file_of_bad_rows_is_refused_with_the_first_reasons_and_their_number() {
        let bad = "나,수도권,,127,1호선\n";
        let (_, left_out) = read(format!("{}{}", ROW, bad.repeat(1000)).as_bytes(), Path::new("stations.csv")).unwrap();

        assert_eq!((left_out.first.len(), left_out.total, left_out.more()), (10, 1000, 990));
        assert_eq!(
            refusal(&format!("{}{ROW}", bad.repeat(1001))),
            "stations.csv has 1001 rows that cannot be used, and at most 1000 are ignored; a row is \
             name,region,latitude,longitude,line; line 1: 나: it has no latitude: \"\"; line 2: 나: it has no latitude: \"\"; \
             line 3: 나: it has no latitude: \"\"; 998 more rows"
        );
        assert!(refusal(&bad.repeat(1001)).contains("has no usable station"));
        assert!(refusal(&format!("나,수도권,{},127,1호선\n", "x".repeat(3000))).len() < 500);
        let endless = read(BufReader::new(io::repeat(b'x')), Path::new("a")).unwrap_err();
        assert_eq!(endless.to_string(), "could not read the station file a");
    }

    #[test]
    fn a_station_file_that_is_not_a_regular_file_is_refused() {
        let refused = load(Some(Path::new("/dev/zero"))).unwrap_err();

        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert_eq!(cause, "it is a device; expected a regular file");
    }

    #[test]
    fn lf_cr_and_crlf_end_a_line() {
        let (stations, rejected) = stations("가,b,37.5,127,1\r나,b,37.6,127,1\r\n\r\n다,b,37.7,,1\n라,b,37.7,127,1");

        assert_eq!(stations.len(), 3);
        assert_eq!(rejected[0].line, 4);
    }

    #[test]
    fn a_file_that_is_not_utf_8_or_has_no_station_is_an_error() {
        let read = |bytes: &[u8]| read(bytes, Path::new("stations.csv")).unwrap_err().to_string();

        assert_eq!(
            read(b"a,b,37.5,127,1\n\xb0\xa1,b,37.5,127,1\n"),
            "stations.csv, line 2: this is not UTF-8; save the station file in UTF-8"
        );
        assert!(read(b"").contains("no usable station"));
        assert!(load(Some(Path::new("/nowhere.csv"))).unwrap_err().to_string().contains("/nowhere.csv"));
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(bytes: Vec<u8>, rows in "([가-힣a-z0-9.,\"\n -]{0,12}){0,20}") {
            read(bytes.as_slice(), Path::new("a")).ok();
            read(rows.as_bytes(), Path::new("b")).ok();
        }
    }
}
