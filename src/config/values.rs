//! Parses and validates values of the configuration. Each error says what would be right.

use std::collections::HashSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::domain::duration as durations;
use crate::domain::keyword::Keyword;
use crate::domain::notice::Event;
use crate::domain::price::Price;
use crate::domain::run::Coverage;

/// Quotation marks that may surround a value by mistake.
const QUOTES: [char; 8] = ['"', '\'', '`', '“', '”', '‘', '’', '＂'];

/// What is wrong with the text of a variable or a secret file, if anything. The message does not repeat the text.
pub(super) fn fault(text: &str) -> Option<&'static str> {
    if text.starts_with(QUOTES) || text.ends_with(QUOTES) {
        return Some(
            "begins or ends with a quote, which would be part of the value: remove it (docker --env-file keeps the quotes \
             that a shell removes)",
        );
    }
    text.contains(char::is_control).then_some("has a line break or another control character in it")
}

/// Reads a duration such as `10s`, of at most ten years.
///
/// # Errors
/// When it is not a duration, or longer.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    durations::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn duration_above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    durations::parse_above_zero(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

pub(super) fn some_duration_above_zero<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration_above_zero(deserializer).map(Some)
}

pub(super) fn radius_m<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let radius_m = u32::deserialize(deserializer)?;
    if (1..=20_000).contains(&radius_m) {
        Ok(radius_m)
    } else {
        Err(D::Error::custom(format!("invalid radius {radius_m}; the API takes 1 to 20000 metres")))
    }
}

pub(super) fn coverage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Coverage, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse()
        .map_err(|()| D::Error::custom(format!("unknown coverage {text:?}; expected \"station\" or \"complete\"")))
}

pub(super) fn max_in_flight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroUsize, D::Error> {
    let count = usize::deserialize(deserializer)?;
    NonZeroUsize::new(count)
        .filter(|count| count.get() <= 1000)
        .ok_or_else(|| D::Error::custom(format!("invalid number of requests {count}; expected 1 to 1000")))
}

/// At least 20, because the scheduler finds its last ticks in the run history.
pub(super) fn keep_runs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroU32, D::Error> {
    let count = u32::deserialize(deserializer)?;
    NonZeroU32::new(count)
        .filter(|count| count.get() >= 20)
        .ok_or_else(|| D::Error::custom(format!("{count} runs are too few; write 20 or more")))
}

pub(super) fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let rate = f64::deserialize(deserializer)?;
    if rate.is_finite() && (0.001..=100_000.0).contains(&rate) {
        Ok(Some(rate))
    } else {
        Err(D::Error::custom(format!("invalid rate {rate}; expected a number above zero, or no value")))
    }
}

pub(super) fn price<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Price, D::Error> {
    let won = f64::deserialize(deserializer)?;
    Price::new(won).ok_or_else(|| {
        D::Error::custom(format!("invalid price {won}; expected won per request, from 0 to {}", Price::MAX_WON))
    })
}

pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(D::Error::custom(format!("invalid share {share}; expected a number from 0 to 1, such as 0.1 for a tenth")))
    }
}

pub(super) fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    // Do not repeat the text, because it may contain a password.
    let refused = |fault| D::Error::custom(format!("{fault}; write one such as \"https://dapi.kakao.com\""));
    let url = reqwest::Url::parse(&text).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.ok_or_else(|| refused("it is not the URL of an HTTP server"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("it is a URL with a user or a password, which would be sent and recorded"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refused("it is a URL with a query (?) or a fragment (#)"));
    }
    Ok(text.trim().trim_end_matches('/').to_owned())
}

/// The URL of an HTTP server, which may contain secrets. The error does not repeat it.
pub(super) fn receiver<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let url = reqwest::Url::parse(text.trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        Some(url) if url.fragment().is_none() => Ok(Some(SecretString::from(url.as_str()))),
        _ => Err(D::Error::custom("it is not the URL of an HTTP server; write one such as \"https://hc-ping.com/…\"")),
    }
}

/// A list of events, or one comma-separated string.
pub(super) fn events<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Event>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        Items(Vec<String>),
        Commas(String),
    }

    let wrong_form = |_| D::Error::custom(format!("write a list of {}", messages()));
    let names = match List::deserialize(deserializer).map_err(wrong_form)? {
        List::Items(names) => names,
        List::Commas(text) => text.split(',').map(|name| name.trim().to_owned()).collect(),
    };
    let event = |name: &String| name.parse().ok().filter(|event| *event != Event::Started);
    let unknown = |name: &String| D::Error::custom(format!("unknown event {name:?}; expected {}", messages()));
    names.iter().map(|name| event(name).ok_or_else(|| unknown(name))).collect()
}

/// The events of which a webhook can tell.
fn messages() -> String {
    let events = Event::ALL.into_iter().filter(|event| *event != Event::Started);
    events.map(|event| format!("{:?}", event.as_str())).collect::<Vec<_>>().join(", ")
}

/// A key that fits into an HTTP header. The error does not repeat it.
pub(super) fn api_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let key = text.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic()) {
        return Err(D::Error::custom("a REST API key is a text of ASCII letters and digits, this one is not"));
    }
    Ok(Some(SecretString::from(key)))
}

/// A list of strings and tables, or one comma-separated string.
pub(super) fn keywords<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Keyword>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        query: String,
        category_group_code: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Item {
        Query(String),
        Table(Table),
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        Items(Vec<Item>),
        Commas(String),
    }

    let wrong_form = |_| D::Error::custom("write texts or tables { query = \"…\", category_group_code = \"…\" }");
    let keywords = match List::deserialize(deserializer).map_err(wrong_form)? {
        List::Commas(text) => text.split(',').map(|query| Keyword::new(query, None)).collect(),
        List::Items(items) => items
            .into_iter()
            .map(|item| match item {
                Item::Query(query) => Keyword::new(&query, None),
                Item::Table(Table { query, category_group_code }) => {
                    Keyword::new(&query, category_group_code.as_deref())
                }
            })
            .collect::<Result<Vec<_>, _>>(),
    }
    .map_err(D::Error::custom)?;
    if let Some(quoted) = keywords.iter().find(|keyword| fault(keyword.query()).is_some()) {
        return Err(D::Error::custom(format!(
            "{:?} begins or ends with a quote, which would be searched for: remove it",
            quoted.query()
        )));
    }
    let mut known = HashSet::new();
    match keywords.iter().find(|keyword| !known.insert(keyword.query())) {
        Some(twice) => Err(D::Error::custom(format!("{:?} is in the list twice", twice.query()))),
        None if keywords.is_empty() => Err(D::Error::custom("at least one keyword is needed")),
        None => Ok(keywords),
    }
}
