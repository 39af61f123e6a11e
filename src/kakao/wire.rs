//! Parses and classifies the answers of the API. Its JSON is not used outside this module.
//!
//! The structs mirror the answer field by field. A document that cannot be a place is counted and left out; the rest of the
//! page is used.

mod document;
mod form;
mod refusal;

use std::borrow::Cow;
use std::fmt;
use std::mem;
use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::redaction::redacted;
use crate::domain::cell::{Meta, PAGE_SIZE, Rejected};
use crate::domain::geo::Area;
use crate::domain::place::Place;
use document::Encoding;

pub use form::Form;
pub(super) use form::of as form_of;

/// The UTF-8 byte order mark. Some servers send it before JSON, and JSON parsers reject it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One page of places.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The `meta` object of the answer.
    pub meta: Meta,
    /// Number of documents, rejected ones included.
    pub documents: usize,
    /// The documents that are places.
    pub places: Vec<Place>,
    /// The documents that were rejected, for example because they have no id or lie outside the requested area.
    pub rejected: Rejected,
    /// The form of its documents, if the answer is read as it came.
    pub form: Option<Form>,
}

/// An answer without its body.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The status.
    pub(super) status: StatusCode,
    /// `Retry-After`, if it asks for a wait.
    pub(super) retry_after: Option<Duration>,
    /// The target of a redirect, without query, fragment and credentials.
    pub(super) redirect: Option<String>,
}

/// The result of one request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// A page.
    Good(Page),
    /// 429.
    Throttled { retry_after: Option<Duration> },
    /// 503, or Kakao's code for an internal error or maintenance.
    Unavailable { retry_after: Option<Duration>, why: String },
    /// An answer that Kakao does not normally give: a redirect, a 404, or a 403 without Kakao's error body.
    Unexpected { retry_after: Option<Duration>, why: String },
    /// No answer at all.
    Unreachable(String),
    /// 500, 502, 504, or a 200 that is not a page.
    Broken(String),
    /// Kakao rejected the search as invalid.
    Refused(String),
    /// Kakao rejected the key.
    KeyRefused(String),
    /// Kakao reports a spent quota.
    QuotaSpent(String),
}

impl Answer {
    /// The same answer without secrets, which the API or a proxy may repeat in a message.
    pub(super) fn redacted(self) -> Self {
        match self {
            Self::Good(_) | Self::Throttled { .. } => self,
            Self::Unavailable { retry_after, why } => Self::Unavailable { retry_after, why: redacted(&why) },
            Self::Unexpected { retry_after, why } => Self::Unexpected { retry_after, why: redacted(&why) },
            Self::Unreachable(why) => Self::Unreachable(redacted(&why)),
            Self::Broken(why) => Self::Broken(redacted(&why)),
            Self::Refused(why) => Self::Refused(redacted(&why)),
            Self::KeyRefused(why) => Self::KeyRefused(redacted(&why)),
            Self::QuotaSpent(why) => Self::QuotaSpent(redacted(&why)),
        }
    }
}

#[derive(Deserialize)]
struct AnswerJson<'a> {
    #[serde(borrow, deserialize_with = "documents")]
    documents: Vec<&'a RawValue>,
    meta: MetaJson,
}

#[derive(Deserialize)]
struct MetaJson {
    #[serde(deserialize_with = "count")]
    total_count: u32,
    #[serde(deserialize_with = "count")]
    pageable_count: u32,
    /// If it is missing, `pageable_count` decides which page is the last.
    #[serde(default)]
    is_end: bool,
}

/// Classifies an answer by its status and its body.
pub(super) fn classify(head: &Head, body: &[u8]) -> Answer {
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if head.status != StatusCode::OK {
        return refusal::classify(head, body, None);
    }
    match parse(body) {
        Ok(page) => Answer::Good(page),
        Err(error) => refusal::classify(head, body, Some(format!("the answer is not a page of places: {error}"))),
    }
}

/// Reads a page.
///
/// # Errors
/// When the body is not JSON or does not have the shape of a page.
pub(super) fn parse(body: &[u8]) -> Result<Page, serde_json::Error> {
    // Bytes that are not UTF-8 are replaced by �. Only the documents that contain them are rejected, not the page.
    let text = String::from_utf8_lossy(body);
    let encoding = if matches!(text, Cow::Borrowed(_)) { Encoding::Utf8 } else { Encoding::Mended };
    let AnswerJson { documents, meta } = serde_json::from_str(&text)?;
    let MetaJson { total_count, pageable_count, is_end } = meta;
    let mut page = Page {
        meta: Meta { total_count, pageable_count, is_end },
        documents: documents.len(),
        places: Vec::with_capacity(documents.len()),
        rejected: Rejected::default(),
        form: None,
    };
    for document in documents {
        match document::read(document, encoding) {
            Ok((place, texts_cut)) => {
                page.places.push(place);
                page.rejected.texts_cut += texts_cut;
            }
            Err(why) => page.rejected += Rejected::one(&redacted(&why)),
        }
    }
    Ok(page)
}

impl Page {
    /// Moves places that share an id, but differ in name or position, to the rejected documents: an id is one place.
    pub(super) fn keep_unambiguous(&mut self) {
        let places = mem::take(&mut self.places);
        let is_another = |one: &Place, other: &Place| one.name != other.name || one.position != other.position;
        for place in &places {
            if places.iter().any(|other| other.id == place.id && is_another(place, other)) {
                let why = format!("place {}: several documents with its id differ in name or position", place.id);
                self.rejected += Rejected::one(&redacted(&why));
            } else {
                self.places.push(place.clone());
            }
        }
    }

    /// Moves the places outside the requested area to the rejected documents.
    pub(super) fn keep_within(&mut self, area: Area) {
        let (inside, outside) = mem::take(&mut self.places).into_iter().partition(|place| area.holds(place.position));
        self.places = inside;
        let outside: Vec<Place> = outside;
        for Place { id, position, .. } in outside {
            let why = format!("place {id}: outside the area that was asked for, at {position}");
            self.rejected += Rejected::outside(&redacted(&why));
        }
    }
}

/// Reads the documents of a page. Fails as soon as there are more than [`PAGE_SIZE`], so that a huge list takes no memory.
fn documents<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'de RawValue>, D::Error> {
    struct Documents;

    impl<'de> Visitor<'de> for Documents {
        type Value = Vec<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of documents")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut documents = Vec::new();
            while let Some(document) = list.next_element()? {
                if documents.len() == PAGE_SIZE as usize {
                    return Err(de::Error::custom(format!("it has more than {PAGE_SIZE} documents")));
                }
                documents.push(document);
            }
            Ok(documents)
        }
    }

    deserializer.deserialize_seq(Documents)
}

/// Reads a count: a number, or a string that contains one.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    struct Count;

    impl Visitor<'_> for Count {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a count")
        }

        fn visit_u64<E: de::Error>(self, count: u64) -> Result<u32, E> {
            u32::try_from(count).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(count), &self))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u32, E> {
            text.trim().parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_any(Count)
}

#[cfg(test)]
mod tests;
