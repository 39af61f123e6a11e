//! The measurements and failures of a case.

use std::fmt;

/// The findings of one case.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    measured: Vec<String>,
    failures: Vec<String>,
    is_skipped: bool,
}

impl Findings {
    /// Adds a measurement to the table.
    pub(crate) fn note(&mut self, measured: String) {
        self.measured.push(measured);
    }

    /// Records a failure unless `is_right`.
    pub(crate) fn check(&mut self, is_right: bool, failure: impl FnOnce() -> String) {
        if !is_right {
            self.failures.push(failure());
        }
    }

    /// Records why the case was not run.
    pub(crate) fn skip(&mut self, reason: &str) {
        self.is_skipped = true;
        self.note(format!("skipped: {reason}"));
    }

    /// The failures.
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
