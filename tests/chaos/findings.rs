//! What a case measured, and what it found wrong.

use std::fmt;

/// The findings of one case.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    measured: Vec<String>,
    failures: Vec<String>,
    is_skipped: bool,
}

impl Findings {
    /// Keeps a number for the table.
    pub(crate) fn note(&mut self, measured: String) {
        self.measured.push(measured);
    }

    /// Keeps a failure unless something is as it must be.
    pub(crate) fn check(&mut self, is_right: bool, failure: impl FnOnce() -> String) {
        if !is_right {
            self.failures.push(failure());
        }
    }

    /// Says why the case was not run.
    pub(crate) fn skip(&mut self, reason: &str) {
        self.is_skipped = true;
        self.note(format!("skipped: {reason}"));
    }

    /// What was found wrong.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The verdict in one word.
    pub(crate) fn verdict(&self) -> &'static str {
        match (self.failures.is_empty(), self.is_skipped) {
            (false, _) => "FAILED",
            (true, true) => "-",
            (true, false) => "ok",
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.measured.join(", "))
    }
}
