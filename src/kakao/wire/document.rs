//! Parses a document of an answer into a place.
//!
//! Kakao documents every field as a string. Other types are tolerated: a number is read as its digits; null, a boolean, an
//! array or an object is read as if the field were missing. A document is rejected only if it cannot be parsed, has no
//! usable id or position, is not UTF-8, or contains the API key.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::value::RawValue;

use crate::config::redaction::{repeats_a_secret, without_secrets};
use crate::domain::geo::LatLng;
use crate::domain::place::{Place, PlaceId};

/// Maximum length of a stored name, and of a stored text of any other field, in characters. Kakao's are far shorter.
const MAX_NAME_CHARS: usize = 200;
const MAX_TEXT_CHARS: usize = 500;

/// How much of a rejected document or field its error quotes, in characters.
const FRAGMENT_CHARS: usize = 60;

#[derive(Deserialize)]
struct DocumentJson<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    place_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    category_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    category_group_code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    phone: Option<&'a RawValue>,
    #[serde(borrow, default)]
    address_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    road_address_name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    place_url: Option<&'a RawValue>,
    #[serde(borrow, default)]
    x: Option<&'a RawValue>,
    #[serde(borrow, default)]
    y: Option<&'a RawValue>,
}

/// Whether the bytes of an answer were UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// All of them.
    Utf8,
    /// Not all; the invalid ones were replaced by �.
    Mended,
}

/// The place that a document describes, and how many of its texts were shortened.
///
/// # Errors
/// Why the document is rejected, with a part of it.
pub(super) fn read(document: &RawValue, encoding: Encoding) -> Result<(Place, u32), String> {
    let Ok(json) = serde_json::from_str::<DocumentJson<'_>>(document.get()) else {
        return Err(format!("{}: not a document", fragment(document.get())));
    };
    let name = text(json.place_name);
    let (x, y) = (text(json.x), text(json.y));
    let Some(id) = PlaceId::parse(text(json.id).trim()) else {
        return Err(format!("place {:?}: no id", fragment(&name)));
    };
    if encoding == Encoding::Mended && document.get().contains(char::REPLACEMENT_CHARACTER) {
        return Err(format!("place {id}: not UTF-8"));
    }
    let Some(position) = position(x.trim(), y.trim()) else {
        return Err(format!("place {id}: no position (x {:?}, y {:?})", fragment(&x), fragment(&y)));
    };
    let mut texts_cut = 0;
    let mut storable = |field: Option<&RawValue>, max| storable(&text(field), max, &mut texts_cut);
    let place = Place {
        id,
        name: storable(json.place_name, MAX_NAME_CHARS).unwrap_or_default(),
        category_name: storable(json.category_name, MAX_TEXT_CHARS),
        category_group_code: storable(json.category_group_code, MAX_TEXT_CHARS),
        phone: storable(json.phone, MAX_TEXT_CHARS),
        address: storable(json.address_name, MAX_TEXT_CHARS),
        road_address: storable(json.road_address_name, MAX_TEXT_CHARS),
        position,
        url: storable(json.place_url, MAX_TEXT_CHARS),
    };
    if place.texts().any(repeats_a_secret) {
        return Err(format!("place {}: it repeats the API key", fragment(place.id.as_str())));
    }
    Ok((place, texts_cut))
}

fn position(x: &str, y: &str) -> Option<LatLng> {
    LatLng::new(y.parse().ok()?, x.parse().ok()?).ok()
}

fn fragment(text: &str) -> String {
    // Secrets are removed before the text is cut: half a secret would not be recognised.
    without_secrets(text).chars().take(FRAGMENT_CHARS).collect()
}

/// A text as it is stored: trimmed, without NUL (which PostgreSQL cannot store), and cut to `max_chars` characters; `None`
/// if nothing is left.
fn storable(text: &str, max_chars: usize, texts_cut: &mut u32) -> Option<String> {
    let text = text.replace('\0', "");
    let mut text = text.trim();
    if let Some((end, _)) = text.char_indices().nth(max_chars) {
        text = text[..end].trim_end();
        *texts_cut += 1;
    }
    (!text.is_empty()).then(|| text.to_owned())
}

/// A field as text; empty if it is neither a string nor a number.
fn text(field: Option<&RawValue>) -> Cow<'_, str> {
    let json = field.map(RawValue::get).unwrap_or_default();
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str::<Text<'_>>(json).map_or_else(|_| Cow::Borrowed(""), |Text(text)| text),
        Some(b'-' | b'0'..=b'9') => number(json),
        _ => Cow::Borrowed(""),
    }
}

/// A number as its digits: `2.6e7` is 26000000.
fn number(json: &str) -> Cow<'_, str> {
    if json.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(json);
    }
    let number = json.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map_or(Cow::Borrowed(""), |number| Cow::Owned(number.to_string()))
}

/// A JSON string. JSON allows unpaired surrogates (`\ud800`), which a Rust string cannot hold; they are replaced by �.
struct Text<'a>(Cow<'a, str>);

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
        }

        deserializer.deserialize_bytes(TextVisitor)
    }
}
