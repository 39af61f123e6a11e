//! Parses and normalizes cron expressions.
//!
//! The cron library accepts expressions that are then never due (`7L`, `L` as a weekday), accepts names in the wrong field
//! (it parses `Mon` in the month field as January), and its errors do not name the field. Therefore names are parsed here, and
//! the library gets a normalized expression.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

/// The nicknames of cron.
const NICKNAMES: [(&str, &str); 7] = [
    ("@hourly", "0 0 * * * *"),
    ("@daily", "0 0 0 * * *"),
    ("@midnight", "0 0 0 * * *"),
    ("@weekly", "0 0 0 * * Sun"),
    ("@monthly", "0 0 0 1 * *"),
    ("@yearly", "0 0 0 1 1 *"),
    ("@annually", "0 0 0 1 1 *"),
];

/// The weekdays: short name, full name, Korean name.
const WEEKDAYS: [(&str, &str, char); 7] = [
    ("Sun", "Sunday", '일'),
    ("Mon", "Monday", '월'),
    ("Tue", "Tuesday", '화'),
    ("Wed", "Wednesday", '수'),
    ("Thu", "Thursday", '목'),
    ("Fri", "Friday", '금'),
    ("Sat", "Saturday", '토'),
];

/// The months: short name, full name.
const MONTHS: [(&str, &str); 12] = [
    ("Jan", "January"),
    ("Feb", "February"),
    ("Mar", "March"),
    ("Apr", "April"),
    ("May", "May"),
    ("Jun", "June"),
    ("Jul", "July"),
    ("Aug", "August"),
    ("Sep", "September"),
    ("Oct", "October"),
    ("Nov", "November"),
    ("Dec", "December"),
];

/// A field: its name (with the article) and its allowed values, for error messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    name: &'static str,
    allowed: &'static str,
    names: Names,
}

/// The kind of names that a field allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    None,
    /// `L` (the last day) and `W` (the nearest weekday).
    Days,
    Months,
    Weekdays,
}

const FIELDS: [Field; 7] = [
    Field { name: "a second", allowed: "0 to 59", names: Names::None },
    Field { name: "a minute", allowed: "0 to 59", names: Names::None },
    Field { name: "an hour", allowed: "0 to 23", names: Names::None },
    Field {
        name: "a day of the month",
        allowed: "1 to 31, L (the last day) or 15W (the working day nearest to the 15th)",
        names: Names::Days,
    },
    Field { name: "a month", allowed: "1 to 12 or Jan to Dec", names: Names::Months },
    Field {
        name: "a weekday",
        allowed: "0 to 7, Sun to Sat, Mon#1 (the first Monday of a month) or FriL (the last Friday)",
        names: Names::Weekdays,
    },
    Field { name: "a year", allowed: "1 to 5000", names: Names::None },
];

/// Parses an expression. Returns its normalized form, too, with seconds and English three-letter names.
pub(super) fn parse(expression: &str) -> Result<(String, Cron), String> {
    let expression = nickname(expression.trim())?;
    let mut given = expression.split_whitespace().collect::<Vec<_>>();
    match given.len() {
        5 => given.insert(0, "0"),
        6 | 7 => {}
        count => return Err(format!("it has {count} fields; expected 5, 6 or 7")),
    }
    let read = FIELDS.iter().zip(&given).map(|(field, text)| field.read(text)).collect::<Result<Vec<_>, _>>()?;
    let normal = read.join(" ");
    let cron = cron(&normal).ok_or_else(|| "the combination of its fields is invalid".to_owned())?;
    Ok((normal, cron))
}

/// Whether the schedule is due every hour or more often: it has a `*` for the hour or a smaller unit (with or without a step,
/// as in cron), or it lists every hour.
pub(super) fn is_frequent(normal: &str, cron: &Cron) -> bool {
    normal.split(' ').take(3).any(|field| field.starts_with('*')) || cron.pattern.hours.is_all_set()
}

fn cron(normal: &str) -> Option<Cron> {
    CronParser::builder().seconds(Seconds::Required).year(Year::Optional).build().parse(normal).ok()
}

fn nickname(expression: &str) -> Result<&str, String> {
    if !expression.starts_with('@') {
        return Ok(expression);
    }
    let known = NICKNAMES.iter().find(|(nickname, _)| nickname.eq_ignore_ascii_case(expression));
    known.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let nicknames = NICKNAMES.map(|(nickname, _)| nickname).join(", ");
        format!("unknown nickname; the nicknames are {nicknames}")
    })
}

impl Field {
    /// Parses and normalizes the text of the field.
    fn read(&self, text: &str) -> Result<String, String> {
        let wrong = |why: &str| {
            let Self { name, allowed, .. } = self;
            format!("{text:?} is not {name}{why}; write {allowed}, or lists, ranges and steps such as 1,3, 1-5 and */2")
        };
        let items = text.split(',').map(|item| self.read_item(item)).collect::<Option<Vec<_>>>();
        let items = items.ok_or_else(|| wrong(""))?;
        if let Some(backward) = items.iter().find(|item| self.is_backward(item)) {
            return Err(wrong(&format!(" (the range {backward} ends before it begins)")));
        }
        let normal = items.join(",");
        // The library does not report which field is invalid, so each field is tested alone.
        let alone = FIELDS.map(|field| if field == *self { normal.as_str() } else { "*" }).join(" ");
        cron(&alone).map(|_| ()).ok_or_else(|| wrong(""))?;
        Ok(normal)
    }

    /// Parses one item of a list; `None` if it contains an unknown name.
    fn read_item(&self, item: &str) -> Option<String> {
        let mut read = String::new();
        let mut rest = item;
        while let Some(first) = rest.chars().next() {
            let is_word = first.is_alphabetic();
            let end = rest.find(|c: char| c.is_alphabetic() != is_word).unwrap_or(rest.len());
            let (part, after) = rest.split_at(end);
            if is_word {
                read.push_str(&self.word(part, &read)?);
            } else {
                read.push_str(part);
            }
            rest = after;
        }
        // The library accepts 7 for Sunday, but not for the last Sunday.
        if self.names == Names::Weekdays && matches!(read.as_str(), "7L" | "7#L") {
            return Some("0L".to_owned());
        }
        (!read.is_empty()).then_some(read)
    }

    /// Normalizes a name that follows the text `before`.
    fn word(&self, word: &str, before: &str) -> Option<String> {
        let upper = word.to_uppercase();
        let follows_number = before.ends_with(|c: char| c.is_ascii_digit());
        match self.names {
            Names::None => None,
            Names::Days => matches!(upper.as_str(), "L" | "W").then_some(upper),
            Names::Months if word == "월" && follows_number => Some(String::new()),
            Names::Months => {
                let known = MONTHS.iter().find(|(short, full)| is_either(word, short, full));
                known.map(|(short, _)| (*short).to_owned())
            }
            Names::Weekdays if upper == "L" => (follows_number || before.ends_with('#')).then_some(upper),
            Names::Weekdays => {
                let last = word.strip_suffix(['L', 'l']);
                let named = weekday(word).map(str::to_owned);
                named.or_else(|| last.and_then(weekday).map(|day| format!("{day}L")))
            }
        }
    }

    /// Whether the item is a range that ends before it begins, such as `22-2` or `Fri-Mon`.
    fn is_backward(&self, item: &str) -> bool {
        let Some((from, to)) = item.split_once('-') else { return false };
        let to = to.split(['/', '#']).next().unwrap_or(to);
        match (self.number(from), self.number(to)) {
            // As the end of a range, Sunday comes after Saturday.
            (Some(_), Some(0)) if self.names == Names::Weekdays && to != "0" => false,
            (Some(from), Some(to)) => from > to,
            _ => false,
        }
    }

    fn number(&self, text: &str) -> Option<usize> {
        let named = match self.names {
            Names::Months => MONTHS.iter().position(|(short, _)| *short == text).map(|month| month + 1),
            Names::Weekdays => WEEKDAYS.iter().position(|(short, ..)| *short == text),
            Names::None | Names::Days => None,
        };
        named.or_else(|| text.parse().ok())
    }
}

/// The short name of a weekday.
fn weekday(word: &str) -> Option<&'static str> {
    let is_korean = |day: char| word.strip_suffix("요일").unwrap_or(word).chars().eq([day]);
    let known = WEEKDAYS.iter().find(|(short, full, korean)| is_either(word, short, full) || is_korean(*korean));
    known.map(|(short, ..)| *short)
}

fn is_either(word: &str, short: &str, full: &str) -> bool {
    word.eq_ignore_ascii_case(short) || word.eq_ignore_ascii_case(full)
}
