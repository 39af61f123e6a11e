//! The station file: facts about stations, one row per station and line.
//!
//! `name,region,latitude,longitude,line`, UTF-8, without header. What real files bring along is taken: a header, a byte
//! order mark, CRLF, blank lines. A row that cannot be used is left out and reported; it never moves a station.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, StringRecord, Trim};

use crate::domain::geo::LatLng;
use crate::domain::station::{Platform, Station, merge};

/// The file that is compiled in; `data/SOURCE.md` says where it comes from.
const COMPILED_IN: &[u8] = include_bytes!("../data/subwayinfo.csv");

/// Columns of a row.
const COLUMNS: usize = 5;

/// Why there are no stations.
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
        /// The line, from 1 on.
        line: u64,
    },
    /// Nothing is left.
    #[error("{0} has no usable station; a row is name,region,latitude,longitude,line")]
    Empty(PathBuf),
}

/// A row that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its line, from 1 on.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

/// Reads the stations of `file`, else the compiled-in ones, and the rows that were left out.
///
/// # Errors
/// When the file cannot be read, is not UTF-8 or has no usable row.
pub fn load(file: Option<&Path>) -> Result<(Vec<Station>, Vec<Rejected>), Error> {
    let Some(path) = file else { return read(COMPILED_IN, Path::new("the compiled-in station file")) };
    let bytes = fs::read(path).map_err(|error| Error::Unreadable(path.to_owned(), error))?;
    read(&bytes, path)
}

fn read(bytes: &[u8], path: &Path) -> Result<(Vec<Station>, Vec<Rejected>), Error> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(bytes);
    let mut platforms = Vec::new();
    let mut rejected = Vec::new();
    let mut is_first = true;
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| Error::Unreadable(path.to_owned(), error.into()))? {
        let line = || line_of(bytes, record.position());
        let row = StringRecord::from_byte_record(record.clone())
            .map_err(|_| Error::Encoding { path: path.to_owned(), line: line() })?;
        if row.iter().all(str::is_empty) {
            continue;
        }
        let is_header = std::mem::take(&mut is_first) && is_header(&row);
        match platform(&row) {
            _ if is_header => {}
            Ok(platform) => platforms.push(platform),
            Err(reason) => rejected.push(Rejected { line: line(), reason }),
        }
    }
    let stations = merge(platforms);
    if stations.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok((stations, rejected)) }
}

/// The line of a record. The reader's own count stands before the blank lines that it skips.
fn line_of(bytes: &[u8], position: Option<&csv::Position>) -> u64 {
    let start = position.and_then(|position| usize::try_from(position.byte()).ok()).unwrap_or(0).min(bytes.len());
    let blank = bytes[start..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    bytes[..start + blank].split(|byte| *byte == b'\n').count() as u64
}

/// Whether the first row names its columns: there are words where numbers belong.
fn is_header(row: &StringRecord) -> bool {
    let is_word = |column| row.get(column).is_some_and(|text: &str| !text.is_empty() && text.parse::<f64>().is_err());
    is_word(2) && is_word(3)
}

fn platform(row: &StringRecord) -> Result<Platform, String> {
    let used = row.iter().enumerate().filter(|(_, text)| !text.is_empty()).map(|(column, _)| column + 1).max();
    if used > Some(COLUMNS) || row.len() < COLUMNS {
        return Err(format!("it has {} columns, not {COLUMNS}: name,region,latitude,longitude,line", row.len()));
    }
    let [name, region, latitude, longitude, line] = [0, 1, 2, 3, 4].map(|column| row.get(column).unwrap_or_default());
    if name.is_empty() {
        return Err("it has no name".to_owned());
    }
    let number = |text: &str, what| text.parse::<f64>().map_err(|_| format!("{name} has no {what}: {text:?}"));
    let position = position(number(latitude, "latitude")?, number(longitude, "longitude")?)
        .map_err(|reason| format!("{name}: {reason}"))?;
    Ok(Platform { name: name.to_owned(), region: region.to_owned(), position, line: line.to_owned() })
}

/// A position in Korea, the only ground that the API covers.
fn position(latitude: f64, longitude: f64) -> Result<LatLng, String> {
    let is_in_korea =
        |latitude: f64, longitude: f64| (32.0..=39.5).contains(&latitude) && (123.0..=133.0).contains(&longitude);
    if is_in_korea(latitude, longitude) {
        return LatLng::new(latitude, longitude).map_err(|error| error.to_string());
    }
    Err(if is_in_korea(longitude, latitude) {
        format!("latitude {latitude} and longitude {longitude} are swapped")
    } else {
        format!("latitude {latitude} and longitude {longitude} are not in Korea")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn stations(text: &str) -> (Vec<Station>, Vec<Rejected>) {
        read(text.as_bytes(), Path::new("stations.csv")).unwrap()
    }

    #[test]
    fn the_compiled_in_file_has_941_stations_of_911_names() {
        let (stations, rejected) = load(None).unwrap();

        let mut by_name: BTreeMap<&str, usize> = BTreeMap::new();
        for station in &stations {
            *by_name.entry(&station.name).or_default() += 1;
        }
        assert_eq!((stations.len(), by_name.len(), rejected.len()), (941, 911, 0));
        let shared: Vec<_> = by_name.values().filter(|count| **count > 1).collect();
        assert_eq!((shared.len(), shared.into_iter().sum::<usize>()), (28, 58));
        assert_eq!((by_name["신촌역"], by_name["양평역"], by_name["시청역"], by_name["교대역"]), (2, 2, 3, 3));
        assert_eq!(stations.iter().find(|station| station.name == "서울역").unwrap().lines.len(), 5);
    }

    #[test]
    fn header_byte_order_mark_crlf_and_blank_lines_are_fine() {
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
    fn a_row_that_cannot_be_used_is_left_out_by_line_and_reason() {
        let (stations, rejected) = stations(
            "가능역,수도권,37.748,127.044,1호선\n나,수도권,,127,1호선\n\n다,수도권,127.044,37.748,1호선\n라,수도권,0,0,1호선\n마,수도권,37.7\n,수도권,37.7,127,1호선\n바,수도권,NaN,127,1호선\n",
        );

        assert_eq!(stations.len(), 1);
        let reasons: Vec<String> = rejected.iter().map(ToString::to_string).collect();
        assert_eq!(reasons[0], "line 2: 나 has no latitude: \"\"");
        assert_eq!(reasons[1], "line 4: 다: latitude 127.044 and longitude 37.748 are swapped");
        assert_eq!(reasons[2], "line 5: 라: latitude 0 and longitude 0 are not in Korea");
        assert_eq!(reasons[3], "line 6: it has 3 columns, not 5: name,region,latitude,longitude,line");
        assert_eq!(reasons[4], "line 7: it has no name");
        assert_eq!(reasons[5], "line 8: 바: latitude NaN and longitude 127 are not in Korea");
    }

    #[test]
    fn a_file_that_is_not_utf_8_or_has_no_station_is_an_error() {
        let read = |bytes| read(bytes, Path::new("stations.csv")).unwrap_err().to_string();

        assert_eq!(
            read(b"a,b,37.5,127,1\n\xb0\xa1,b,37.5,127,1\n"),
            "stations.csv, line 2: this is not UTF-8; save the station file in UTF-8"
        );
        assert!(read(b"").contains("no usable station"));
        assert!(load(Some(Path::new("/nowhere.csv"))).unwrap_err().to_string().contains("/nowhere.csv"));
    }

    proptest::proptest! {
        #[test]
        fn no_file_panics_the_reader(bytes: Vec<u8>, rows in "([가-힣a-z0-9.,\"\n -]{0,12}){0,20}") {
            read(&bytes, Path::new("a")).ok();
            read(rows.as_bytes(), Path::new("b")).ok();
        }
    }
}
