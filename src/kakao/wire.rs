//! What comes over the wire: the provider's JSON ends here.
//!
//! The structs mirror the answer field by field. A document that cannot be a place is counted and left out; it never costs
//! the page.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::value::RawValue;

use crate::domain::cell::Meta;
use crate::domain::geo::LatLng;
use crate::domain::place::{Place, PlaceId};

/// How much of an error message is repeated.
const MAX_MESSAGE_CHARS: usize = 200;

/// One page of places.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// What the answer says about itself.
    pub meta: Meta,
    /// How many documents it had, rejected ones included.
    pub documents: usize,
    /// Those that are places.
    pub places: Vec<Place>,
    /// Those that are not: no id, or no position.
    pub rejected: u32,
}

/// What an attempt brought.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// A page.
    Good(Page),
    /// 429.
    Throttled { retry_after: Option<Duration> },
    /// 503.
    Unavailable { retry_after: Option<Duration>, why: String },
    /// No answer at all.
    Unreachable(String),
    /// 500, 502, 504, or a 200 that cannot be read.
    Broken(String),
    /// Another 4xx: the search is at fault.
    Refused(String),
    /// 401 or 403.
    KeyRefused(String),
    /// 400 with code -10.
    QuotaSpent(String),
}

#[derive(Deserialize)]
struct AnswerJson<'a> {
    #[serde(borrow)]
    documents: Vec<&'a RawValue>,
    meta: MetaJson,
}

#[derive(Deserialize)]
struct MetaJson {
    total_count: u32,
    pageable_count: u32,
    is_end: bool,
}

#[derive(Deserialize)]
struct DocumentJson<'a> {
    #[serde(borrow, default)]
    id: Text<'a>,
    #[serde(borrow, default)]
    place_name: Text<'a>,
    #[serde(borrow, default)]
    category_name: Text<'a>,
    #[serde(borrow, default)]
    category_group_code: Text<'a>,
    #[serde(borrow, default)]
    phone: Text<'a>,
    #[serde(borrow, default)]
    address_name: Text<'a>,
    #[serde(borrow, default)]
    road_address_name: Text<'a>,
    #[serde(borrow, default)]
    place_url: Text<'a>,
    #[serde(borrow, default)]
    x: Text<'a>,
    #[serde(borrow, default)]
    y: Text<'a>,
}

/// Both shapes of an error.
#[derive(Deserialize)]
struct ErrorJson {
    code: Option<i64>,
    #[serde(alias = "msg")]
    message: Option<String>,
}

/// Makes sense of an answer.
pub(super) fn classify(status: StatusCode, retry_after: Option<Duration>, body: &[u8], key: &SecretString) -> Answer {
    if status == StatusCode::OK {
        return match parse(body) {
            Ok(page) => Answer::Good(page),
            Err(error) => Answer::Broken(format!("the answer is no page of places: {error}")),
        };
    }
    let error: Option<ErrorJson> = serde_json::from_slice(body).ok();
    let code = error.as_ref().and_then(|error| error.code);
    let message = error.and_then(|error| error.message);
    let message = message.map_or(Cow::Borrowed("no error message"), |message| Cow::Owned(redact(&message, key)));
    let why = format!("{}: {message}", status.as_u16());
    match status.as_u16() {
        429 => Answer::Throttled { retry_after },
        503 => Answer::Unavailable { retry_after, why },
        401 | 403 => Answer::KeyRefused(why),
        400 if code == Some(-10) => Answer::QuotaSpent(why),
        500.. => Answer::Broken(why),
        _ => Answer::Refused(why),
    }
}

/// Removes the key from the API's words, which repeat it, and whatever stands in its place.
fn redact(message: &str, key: &SecretString) -> String {
    let mut safe = message.replace(key.expose_secret(), "…");
    if let Some(start) = safe.find("appKey(").map(|at| at + "appKey(".len()) {
        let end = safe[start..].find(')').map_or(safe.len(), |at| start + at);
        safe.replace_range(start..end, "…");
    }
    safe.chars().filter(|c| !c.is_control()).take(MAX_MESSAGE_CHARS).collect()
}

/// Reads a page.
///
/// # Errors
/// When it is no JSON, or not the shape of a page.
pub(super) fn parse(body: &[u8]) -> Result<Page, serde_json::Error> {
    let AnswerJson { documents, meta } = serde_json::from_slice(body)?;
    let MetaJson { total_count, pageable_count, is_end } = meta;
    let places: Vec<Place> = documents.iter().filter_map(|document| place(document.get())).collect();
    let rejected = u32::try_from(documents.len() - places.len()).unwrap_or(u32::MAX);
    Ok(Page { meta: Meta { total_count, pageable_count, is_end }, documents: documents.len(), places, rejected })
}

/// The place that a document describes; `None` without an id or a position.
fn place(document: &str) -> Option<Place> {
    let DocumentJson {
        id,
        place_name,
        category_name,
        category_group_code,
        phone,
        address_name,
        road_address_name,
        place_url,
        x,
        y,
    } = serde_json::from_str(document).ok()?;
    Some(Place {
        id: PlaceId::parse(id.trimmed())?,
        name: place_name.storable().unwrap_or_default(),
        category_name: category_name.storable(),
        category_group_code: category_group_code.storable(),
        phone: phone.storable(),
        address: address_name.storable(),
        road_address: road_address_name.storable(),
        position: LatLng::new(y.trimmed().parse().ok()?, x.trimmed().parse().ok()?).ok()?,
        url: place_url.storable(),
    })
}

/// A text that takes what JSON texts may hold and Rust's may not: a lone half of a surrogate pair becomes �. What is
/// null, as if it were missing, is empty.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    fn trimmed(&self) -> &str {
        self.0.trim()
    }

    /// The text without what PostgreSQL cannot store (NUL); `None` where nothing is left.
    fn storable(&self) -> Option<String> {
        let text = self.0.replace('\0', "");
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_bytes<E: de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(Text(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(String::from_utf8_lossy(bytes).into_owned())))
            }

            fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }

            fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
                deserializer.deserialize_bytes(self)
            }
        }

        deserializer.deserialize_option(TextVisitor)
    }
}

#[cfg(test)]
mod tests;
