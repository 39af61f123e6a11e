//! A shop or facility as Kakao knows it.

use std::fmt;

use super::geo::LatLng;

/// Kakao's id of a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(String);

/// The longest id that is believed; Kakao's have eight to ten digits, and a longer one would not fit an index.
const MAX_ID_BYTES: usize = 100;

impl PlaceId {
    /// Takes an id as Kakao sent it; `None` where it cannot identify anything.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let usable = !text.is_empty() && text.len() <= MAX_ID_BYTES && !text.contains(char::is_control);
        usable.then(|| Self(text.to_owned()))
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

/// One place with the content of one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// Kakao's id.
    pub id: PlaceId,
    /// The name on the sign.
    pub name: String,
    /// The category path, such as `음식점 > 한식`.
    pub category_name: Option<String>,
    /// The category group, such as `FD6`.
    pub category_group_code: Option<String>,
    /// The phone number as displayed.
    pub phone: Option<String>,
    /// The address by lot number.
    pub address: Option<String>,
    /// The address by street.
    pub road_address: Option<String>,
    /// Where it is.
    pub position: LatLng,
    /// Its page on Kakao Map.
    pub url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_identifies_something() {
        assert!(PlaceId::parse("26338954").is_some());
        assert_eq!(PlaceId::parse(""), None);
        assert_eq!(PlaceId::parse("26\u{0}38"), None);
        assert_eq!(PlaceId::parse(&"9".repeat(101)), None);
    }
}
