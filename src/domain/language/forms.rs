//! Dates, durations and other figures in their Korean form.

use chrono::{Datelike, NaiveDate, NaiveDateTime, Weekday};

/// A figure in its Korean form; `None` if the text is none.
pub(super) fn korean(text: &str) -> Option<String> {
    instant(text).or_else(|| day(text)).or_else(|| duration(text)).or_else(|| share(text)).or_else(|| weekday(text))
}

fn name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "월",
        Weekday::Tue => "화",
        Weekday::Wed => "수",
        Weekday::Thu => "목",
        Weekday::Fri => "금",
        Weekday::Sat => "토",
        Weekday::Sun => "일",
    }
}

fn instant(text: &str) -> Option<String> {
    if let Some((seoul, utc)) = text.strip_suffix(" UTC)").and_then(|text| text.split_once(" Seoul (")) {
        return Some(format!("{} 한국 시간(UTC {})", instant(seoul)?, weekday(utc)?));
    }
    if let Some(seoul) = text.strip_suffix(" Seoul") {
        return Some(format!("{} 한국 시간", instant(seoul)?));
    }
    if let Ok(at) = NaiveDateTime::parse_from_str(text, "%A %d %B %Y, %H:%M") {
        return Some(format!("{}({}) {}", at.format("%Y년 %-m월 %-d일"), name(at.weekday()), at.format("%H:%M")));
    }
    let formats = [("%a %Y-%m-%d %H:%M:%S", "%H:%M:%S"), ("%a %Y-%m-%d %H:%M", "%H:%M")];
    formats.into_iter().find_map(|(format, time)| {
        let at = NaiveDateTime::parse_from_str(text, format).ok()?;
        Some(format!("{}({}) {}", at.format("%Y-%m-%d"), name(at.weekday()), at.format(time)))
    })
}

/// The label of a bar, such as `3 Nov`.
fn day(text: &str) -> Option<String> {
    // A leap year, so that 29 February is a day.
    let day = NaiveDate::parse_from_str(&format!("{text} 2000"), "%d %b %Y").ok()?;
    Some(day.format("%-m월 %-d일").to_string())
}

/// A time of the week, such as `Sun 18:00:00`.
fn weekday(text: &str) -> Option<String> {
    let (day, time) = text.split_once(' ')?;
    let is_time =
        time.split(':').count() == 3 && time.split(':').all(|part| part.len() == 2 && part.parse::<u8>().is_ok());
    let day = day.parse::<Weekday>().ok().filter(|_| is_time)?;
    Some(format!("{}요일 {time}", name(day)))
}

/// Units as the report writes them, after a space.
const SPACED: [(&str, &str); 5] = [("d", "일"), ("h", "시간"), ("min", "분"), ("s", "초"), ("won", "원")];

/// Units of durations as `humantime` writes them, without a space.
const ATTACHED: [(&str, &str); 11] = [
    ("years", "년"),
    ("year", "년"),
    ("months", "개월"),
    ("month", "개월"),
    ("weeks", "주"),
    ("days", "일"),
    ("day", "일"),
    ("h", "시간"),
    ("m", "분"),
    ("s", "초"),
    ("ms", "밀리초"),
];

/// `1 h 12 min`, `1m 15s`, `7days`, `25,846 won`.
fn duration(text: &str) -> Option<String> {
    let mut said = Vec::new();
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let end = word.find(|c: char| !c.is_ascii_digit() && !matches!(c, ',' | '.')).unwrap_or(word.len());
        let (number, attached) = word.split_at(end);
        let (unit, units) = if attached.is_empty() { (words.next()?, &SPACED[..]) } else { (attached, &ATTACHED[..]) };
        let (_, unit) = units.iter().find(|(english, _)| *english == unit).filter(|_| !number.is_empty())?;
        said.push(format!("{number}{unit}"));
    }
    (!said.is_empty()).then(|| said.join(" "))
}

/// `99.9 %`, `+150 %`: without the space.
fn share(text: &str) -> Option<String> {
    let number = text.strip_suffix(" %")?;
    let digits = number.strip_prefix(['+', '−']).unwrap_or(number);
    digits.parse::<f64>().ok().map(|_| format!("{number}%"))
}
