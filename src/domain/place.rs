//! A place: a shop or a facility on Kakao Map.

use std::fmt;

use super::geo::LatLng;

/// Kakao's id of a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(String);

/// Maximum length of an id, in bytes. Kakao's have 8 to 10 digits.
const MAX_ID_BYTES: usize = 32;

impl PlaceId {
    /// Parses an id sent by Kakao; `None` if it is not usable. Kakao's ids are digits. ASCII letters, `_` and `-` are
    /// accepted, too; other characters are not, because programs may normalise or escape them differently.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let usable = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_usable = !text.is_empty() && text.len() <= MAX_ID_BYTES && text.bytes().all(usable);
        is_usable.then(|| Self(text.to_owned()))
    }

    /// Reads a stored id. Earlier versions accepted longer ids and other characters.
    #[must_use]
    pub fn stored(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PlaceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place as described by one document of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Kakao's id.
    pub id: PlaceId,
    /// The name.
    pub name: String,
    /// The category path, such as `음식점 > 한식`.
    pub category_name: Option<String>,
    /// The category group, such as `FD6`.
    pub category_group_code: Option<String>,
    /// The phone number as displayed.
    pub phone: Option<String>,
    /// The lot-number address (지번 주소).
    pub address: Option<String>,
    /// The street address (도로명 주소).
    pub road_address: Option<String>,
    /// The position.
    pub position: LatLng,
    /// Its page on Kakao Map.
    pub url: Option<String>,
}

impl Place {
    /// All its texts, including the id.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let optional =
            [&self.category_name, &self.category_group_code, &self.phone, &self.address, &self.road_address, &self.url];
        [self.id.as_str(), &self.name].into_iter().chain(optional.into_iter().filter_map(|text| text.as_deref()))
    }

    /// Approximate memory, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.texts().map(str::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_1_to_32_ascii_letters_digits_hyphens_or_underscores() {
        for id in ["26338954", "a_B-9", &"9".repeat(32)] {
            assert_eq!(PlaceId::parse(id).unwrap().as_str(), id);
        }
        for id in ["", "26\u{0}38", "\u{fffd}", "26 38", "가게", "2.5", "'", &"9".repeat(33)] {
            assert_eq!(PlaceId::parse(id), None, "{id:?}");
        }
    }
}
