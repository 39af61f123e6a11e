//! Keywords: the texts that are searched for.

use std::fmt;

use super::text;

/// The key of a stored keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeywordId(pub i32);

/// The codes of Kakao's category groups. A search can be limited to one group.
pub const CATEGORY_GROUP_CODES: [&str; 18] = [
    "MT1", "CS2", "PS3", "SC4", "AC5", "PK6", "OL7", "SW8", "BK9", "CT1", "AG2", "PO3", "AT4", "AD5", "FD6", "CE7",
    "HP8", "PM9",
];

/// A valid keyword: a non-empty, normalized text, and optionally a known category group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keyword {
    query: String,
    category_group_code: Option<String>,
}

/// A keyword that is stored in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKeyword {
    /// Its key.
    pub id: KeywordId,
    /// The keyword.
    pub keyword: Keyword,
    /// Whether it was missing in the configuration of the last full run.
    pub is_retired: bool,
}

/// Why a text is not a valid keyword.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The text is empty.
    #[error("a keyword must not be empty")]
    Empty,
    /// The text contains an invisible character.
    #[error("the keyword {0:?}: {1}")]
    Unusable(String, text::Unusable),
    /// The category group code is not one of Kakao's.
    #[error("the category group code {0:?} of {1:?} is unknown; the codes are {codes}", codes = CATEGORY_GROUP_CODES.join(", "))]
    CategoryGroup(String, String),
}

impl Keyword {
    /// Checks a keyword and its category group.
    ///
    /// # Errors
    /// When the query is empty or contains an invisible character, or the code is not one of [`CATEGORY_GROUP_CODES`].
    pub fn new(query: &str, category_group_code: Option<&str>) -> Result<Self, Invalid> {
        let query = text::name(query).map_err(|reason| Invalid::Unusable(query.to_owned(), reason))?;
        if query.is_empty() {
            return Err(Invalid::Empty);
        }
        if let Some(code) = category_group_code
            && !CATEGORY_GROUP_CODES.contains(&code)
        {
            return Err(Invalid::CategoryGroup(code.to_owned(), query));
        }
        Ok(Self { query, category_group_code: category_group_code.map(str::to_owned) })
    }

    /// A keyword from the database, without checks, because an earlier version may have stored one that is now invalid.
    #[must_use]
    pub fn stored(query: String, category_group_code: Option<String>) -> Self {
        Self { query, category_group_code }
    }

    /// The text that is searched for.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The category group that the search is limited to, if any.
    #[must_use]
    pub fn category_group_code(&self) -> Option<&str> {
        self.category_group_code.as_deref()
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_trimmed_and_must_not_be_empty() {
        assert_eq!(Keyword::new(" 카페 ", None).unwrap().query(), "카페");
        assert_eq!(Keyword::new("  ", None), Err(Invalid::Empty));
    }

    #[test]
    fn a_keyword_is_normalized_and_must_be_visible() {
        let composed = Keyword::new("카페", None).unwrap();

        assert_eq!(Keyword::new("\u{110f}\u{1161}\u{1111}\u{1166}", None).unwrap(), composed);
        assert_eq!(Keyword::new("\u{3000}카페\u{a0}", None).unwrap(), composed);
        assert_eq!(
            Keyword::new("카\u{200b}페", None).unwrap_err().to_string(),
            "the keyword \"카\\u{200b}페\": character 2 is invisible (U+200B, a zero width space); remove it"
        );
    }

    #[test]
    fn the_error_for_an_unknown_category_group_lists_the_known_ones() {
        let error = Keyword::new("카페", Some("CE8")).unwrap_err().to_string();

        assert!(error.contains("\"CE8\"") && error.contains("CE7"), "{error}");
    }
}
