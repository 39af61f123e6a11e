//! The rows of a station file that cannot be used.

use std::fmt;

/// Number of reasons that are shown if the file is refused.
const REASONS: usize = 3;

/// Number of unusable rows that are kept with their reasons.
const REMEMBERED: usize = 10;

/// Maximum length of a reason in characters. Reasons are limited because they repeat text of the row.
const LONGEST_REASON: usize = 200;

/// The rows that are ignored: the first ones, and their total number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// The first ones, at most ten.
    pub first: Vec<Rejected>,
    /// Their total number.
    pub total: u64,
}

impl LeftOut {
    /// Number of rows besides the first ones.
    #[must_use]
    pub fn more(&self) -> u64 {
        self.total - self.first.len() as u64
    }

    /// The first reasons, as a refusal of the file continues with them.
    pub(super) fn reasons(&self) -> String {
        let shown: Vec<String> = self.first.iter().take(REASONS).map(|row| format!("; {row}")).collect();
        match self.total - shown.len() as u64 {
            0 => shown.concat(),
            more => format!("{}; {more} more rows", shown.concat()),
        }
    }

    pub(super) fn add(&mut self, line: u64, mut reason: String) {
        self.total += 1;
        if self.first.len() == REMEMBERED {
            return;
        }
        if let Some((end, _)) = reason.char_indices().nth(LONGEST_REASON) {
            reason.replace_range(end.., "…");
        }
        self.first.push(Rejected { line, reason });
    }
}

/// A row that is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its line, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}
