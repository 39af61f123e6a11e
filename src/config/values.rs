//! Values that are more than a text or a number, each refused with a sentence that says what would be right.

use std::collections::HashSet;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::domain::keyword::Keyword;
use crate::domain::run::Coverage;

/// Reads a duration such as `10s`.
///
/// # Errors
/// When it is none.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(text.trim())
        .map_err(|error| D::Error::custom(format!("{text:?} is no duration ({error}); write 500ms, 10s, 30m or 7d")))
}

pub(super) fn duration_above_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = duration(deserializer)?;
    if duration.is_zero() { Err(D::Error::custom("it must be longer than zero")) } else { Ok(duration) }
}

pub(super) fn radius_m<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let radius_m = u32::deserialize(deserializer)?;
    if (1..=20_000).contains(&radius_m) {
        Ok(radius_m)
    } else {
        Err(D::Error::custom(format!("{radius_m} is no radius; the API takes 1 to 20000 metres")))
    }
}

pub(super) fn coverage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Coverage, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|()| D::Error::custom(format!("{text:?} is no coverage; write \"station\" or \"complete\"")))
}

pub(super) fn max_in_flight<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroUsize, D::Error> {
    let count = usize::deserialize(deserializer)?;
    NonZeroUsize::new(count)
        .filter(|count| count.get() <= 1000)
        .ok_or_else(|| D::Error::custom(format!("{count} is no number of requests; write 1 to 1000")))
}

/// The scheduler looks for its last ticks among the runs that are kept.
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
        Err(D::Error::custom(format!("{rate} is no rate; write a number above zero, or leave it out")))
    }
}

pub(super) fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(D::Error::custom(format!("{share} is no share; write a number from 0 to 1, such as 0.1 for a tenth")))
    }
}

pub(super) fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match reqwest::Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(text.trim_end_matches('/').to_owned())
        }
        _ => Err(D::Error::custom(format!("{text:?} is no URL; write one such as \"https://dapi.kakao.com\""))),
    }
}

/// A key that fits a header. What is wrong with it is said without repeating it.
pub(super) fn api_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let key = text.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic()) {
        return Err(D::Error::custom("a REST API key is a text of ASCII letters and digits, this one is not"));
    }
    Ok(Some(SecretString::from(key)))
}

/// A list of texts and tables, or one text with commas.
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
    let mut known = HashSet::new();
    match keywords.iter().find(|keyword| !known.insert(keyword.query())) {
        Some(twice) => Err(D::Error::custom(format!("{:?} is in the list twice", twice.query()))),
        None if keywords.is_empty() => Err(D::Error::custom("at least one keyword is needed")),
        None => Ok(keywords),
    }
}
