//! One row of the station file: its fields, and the platform that they describe.

use crate::domain::geo::LatLng;
use crate::domain::station::Platform;
use crate::domain::text::tidy;

/// Columns of a row.
const COLUMNS: usize = 5;

/// Separators that are used by mistake instead of commas.
const SEPARATORS: [(char, &str); 3] = [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")];

/// Signs of degrees, minutes and seconds.
const DEGREE_SIGNS: &str = "°º˚′″’”'\":도분초";

/// A quoting mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stray {
    /// The character within the line, counted from 1.
    pub(super) column: u64,
    /// What is wrong.
    pub(super) reason: &'static str,
}

/// The state of the parser within a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far.
    Start,
    /// In a text without quotes.
    Bare,
    /// In a text whose quote opened at this column.
    Quoted(u64),
    /// After the closing quote of a text whose quote opened at this column. Another quote here is an escaped quote.
    Closed(u64),
}

/// Splits a line into fields, each normalized by [`tidy`]. A quoted text must end on its line: no name spans two lines,
/// and an unclosed quote would swallow the rows up to the next quote.
pub(super) fn fields(line: &str) -> Result<Vec<String>, Stray> {
    let mut fields = vec![String::new()];
    let mut state = State::Start;
    for (column, c) in (1..).zip(line.chars()) {
        // In a coordinate, a quote may be the sign of seconds. Such a number is reported later, as an unusable row.
        let is_coordinate = matches!(fields.len(), 3 | 4);
        state = match (state, c) {
            (State::Start | State::Bare | State::Closed(_), ',') => {
                fields.push(String::new());
                State::Start
            }
            (State::Start, '"') => State::Quoted(column),
            (State::Quoted(opened), '"') => State::Closed(opened),
            (State::Bare, '"') if !is_coordinate => {
                let reason =
                    "a quote within a text that is not in quotes; write the whole text in quotes, and this quote twice";
                return Err(Stray { column, reason });
            }
            (State::Closed(_), c) if c != '"' && !c.is_whitespace() => {
                return Err(Stray { column, reason: "a text goes on behind its closing quote" });
            }
            (State::Start | State::Closed(_), c) if c.is_whitespace() => state,
            (_, c) => {
                fields.last_mut().expect("there is always one").push(c);
                match state {
                    State::Closed(opened) | State::Quoted(opened) => State::Quoted(opened),
                    State::Start | State::Bare => State::Bare,
                }
            }
        };
    }
    match state {
        State::Quoted(column) => Err(Stray { column, reason: "the quote that opens here is not closed on its line" }),
        State::Start | State::Bare | State::Closed(_) => Ok(fields.iter().map(|field| tidy(field)).collect()),
    }
}

/// Whether the first row is a header: it has words in the columns of the coordinates.
pub(super) fn is_header(fields: &[String]) -> bool {
    let is_word = |column: usize| {
        let first = fields.get(column).and_then(|text| text.chars().next());
        first.is_some_and(|c| !c.is_numeric() && !"+-.".contains(c))
    };
    is_word(2) && is_word(3)
}

/// The platform of a row, or why the row is unusable.
pub(super) fn platform(line: &str, fields: &[String]) -> Result<Platform, String> {
    let used = fields.iter().rposition(|text| !text.is_empty()).map_or(0, |last| last + 1);
    if used > COLUMNS || fields.len() < COLUMNS {
        return Err(wrong_count(line, fields));
    }
    let [name, region, latitude, longitude, line] =
        [0, 1, 2, 3, 4].map(|column| fields.get(column).map_or("", String::as_str));
    if name.is_empty() {
        return Err("it has no name".to_owned());
    }
    let position = degrees(latitude, "latitude")
        .and_then(|latitude| position(latitude, degrees(longitude, "longitude")?))
        .map_err(|reason| format!("{name}: {reason}"))?;
    Ok(Platform { name: name.to_owned(), region: region.to_owned(), position, line: line.to_owned() })
}

fn wrong_count(line: &str, fields: &[String]) -> String {
    let separator = SEPARATORS.iter().find(|(separator, _)| line.matches(*separator).count() >= COLUMNS - 1);
    if let Some((_, name)) = separator {
        return format!("its columns are separated by {name}; write commas");
    }
    let is_number = |field: &String| !field.is_empty() && field.chars().all(|c| c.is_ascii_digit());
    if fields.len() == COLUMNS + 2 && fields[2..=COLUMNS].iter().all(is_number) {
        return "its coordinates have decimal commas; write points, such as 37.5552".to_owned();
    }
    format!("it has {} columns, not {COLUMNS}: name,region,latitude,longitude,line", fields.len())
}

fn degrees(text: &str, what: &str) -> Result<f64, String> {
    text.parse().map_err(|_| {
        let has_digits = text.contains(|c: char| c.is_ascii_digit());
        let has_parts = text.contains(|c| DEGREE_SIGNS.contains(c)) || text.split_whitespace().count() > 1;
        if has_digits && has_parts {
            format!("the {what} {text:?} is in degrees, minutes and seconds; write decimal degrees, such as 37.5552")
        } else if has_digits && text.contains(',') {
            format!("the {what} {text:?} has a decimal comma; write a point, such as 37.5552")
        } else {
            format!("it has no {what}: {text:?}")
        }
    })
}

/// A position in Korea, the only country that the API covers.
fn position(latitude: f64, longitude: f64) -> Result<LatLng, String> {
    let is_in_korea =
        |latitude: f64, longitude: f64| (32.0..=39.5).contains(&latitude) && (123.0..=133.0).contains(&longitude);
    if is_in_korea(latitude, longitude) {
        return LatLng::new(latitude, longitude).map_err(|error| error.to_string());
    }
    Err(if is_in_korea(longitude, latitude) {
        format!("latitude {latitude} and longitude {longitude} are swapped")
    } else if latitude.abs() > 180.0 && longitude.abs() > 180.0 {
        format!("{latitude} and {longitude} are metres of a map projection; write degrees (WGS84)")
    } else {
        format!("latitude {latitude} and longitude {longitude} are not in Korea")
    })
}
