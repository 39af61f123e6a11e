//! What is searched for.

use std::fmt;

/// The key of a stored keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeywordId(pub i32);

/// Kakao's category groups; a search can be narrowed to one.
pub const CATEGORY_GROUP_CODES: [&str; 18] = [
    "MT1", "CS2", "PS3", "SC4", "AC5", "PK6", "OL7", "SW8", "BK9", "CT1", "AG2", "PO3", "AT4", "AD5", "FD6", "CE7",
    "HP8", "PM9",
];

/// A keyword that can be sent: a trimmed text that is not empty, and a known category group if any.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keyword {
    query: String,
    category_group_code: Option<String>,
}

/// Why a text is no keyword.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Nothing to search for.
    #[error("a keyword must not be empty")]
    Empty,
    /// A code that Kakao does not know.
    #[error("the category group code {0:?} of {1:?} is unknown; the codes are {codes}", codes = CATEGORY_GROUP_CODES.join(", "))]
    CategoryGroup(String, String),
}

impl Keyword {
    /// Checks a keyword and its category group.
    ///
    /// # Errors
    /// When the query is empty or the code is none of [`CATEGORY_GROUP_CODES`].
    pub fn new(query: &str, category_group_code: Option<&str>) -> Result<Self, Invalid> {
        let query = query.trim();
        if query.is_empty() {
            return Err(Invalid::Empty);
        }
        if let Some(code) = category_group_code
            && !CATEGORY_GROUP_CODES.contains(&code)
        {
            return Err(Invalid::CategoryGroup(code.to_owned(), query.to_owned()));
        }
        Ok(Self { query: query.to_owned(), category_group_code: category_group_code.map(str::to_owned) })
    }

    /// The text that is searched for.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// The only category group that may answer, if there is one.
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
    fn a_keyword_is_trimmed_and_not_empty() {
        assert_eq!(Keyword::new(" 카페 ", None).unwrap().query(), "카페");
        assert_eq!(Keyword::new("  ", None), Err(Invalid::Empty));
    }

    #[test]
    fn an_unknown_category_group_is_refused_with_the_known_ones() {
        let error = Keyword::new("카페", Some("CE8")).unwrap_err().to_string();

        assert!(error.contains("\"CE8\"") && error.contains("CE7"), "{error}");
    }
}
