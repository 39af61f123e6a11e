//! Documents of the API that are not stored, or not in full.

use std::ops::AddAssign;

/// Maximum length of the example, in characters.
const MAX_EXAMPLE_CHARS: usize = 200;

/// How many documents were rejected, with an example, and how many texts were shortened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rejected {
    /// Number of rejected documents.
    pub documents: u32,
    /// Number of rejected documents that lie outside the requested area.
    pub outside: u32,
    /// Number of texts that are stored without their end because they are too long.
    pub texts_cut: u32,
    /// The first rejected document and the reason, without control characters.
    pub example: Option<String>,
}

impl Rejected {
    /// One rejected document, with the reason.
    #[must_use]
    pub fn one(document_and_why: &str) -> Self {
        let example = document_and_why.chars().filter(|c| !c.is_control()).take(MAX_EXAMPLE_CHARS).collect();
        Self { documents: 1, example: Some(example), ..Self::default() }
    }

    /// One document that lies outside the requested area.
    #[must_use]
    pub fn outside(document_and_why: &str) -> Self {
        Self { outside: 1, ..Self::one(document_and_why) }
    }
}

/// Up to this many rejected documents are accepted, whatever their share.
const FEW: i64 = 20;

/// Whether so many documents of a run were rejected (more than 20 and more than 1 %) that the run proves nothing. Then the
/// API has changed, or something alters its answers.
#[must_use]
pub fn are_too_many_rejected(rejected: i64, documents: i64) -> bool {
    rejected > FEW && rejected.saturating_mul(100) > documents
}

impl AddAssign for Rejected {
    fn add_assign(&mut self, other: Self) {
        self.documents = self.documents.saturating_add(other.documents);
        self.outside = self.outside.saturating_add(other.outside);
        self.texts_cut = self.texts_cut.saturating_add(other.texts_cut);
        self.example = self.example.take().or(other.example);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_twenty_or_one_percent_of_rejected_documents_are_accepted() {
        assert!(!are_too_many_rejected(20, 20));
        assert!(are_too_many_rejected(21, 21));
        assert!(!are_too_many_rejected(100, 10_000));
        assert!(are_too_many_rejected(101, 10_000));
        assert!(are_too_many_rejected(1_560, 1_680));
    }

    #[test]
    fn the_first_example_is_kept_and_it_is_short_and_printable() {
        let mut rejected = Rejected::default();
        rejected += Rejected::one("place 1:\u{0} no\n position");
        rejected += Rejected::one("place 2: no position");

        assert_eq!(rejected, Rejected { documents: 2, ..Rejected::one("place 1: no position") });
        assert_eq!(Rejected::one(&"가".repeat(1000)).example.unwrap().chars().count(), 200);
    }
}
