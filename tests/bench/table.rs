//! Prints the results as a table, and checks them against their limits.

use std::io::{self, Write};

/// The state of the table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    broken: u32,
}

impl Table {
    /// Begins a section with its title and a description of how its values are measured.
    #[expect(clippy::unused_self, reason = "printing belongs to the table")]
    pub(crate) fn section(&mut self, title: &str, how: &str) -> anyhow::Result<()> {
        Ok(writeln!(io::stdout(), "\n{title}\n  {how}")?)
    }

    /// Adds a line. A value at or above its limit is marked as broken.
    pub(crate) fn line(&mut self, what: &str, value: f64, limit: Option<f64>) -> anyhow::Result<()> {
        let is_broken = limit.is_some_and(|limit| value >= limit);
        self.broken += u32::from(is_broken);
        let limit = limit.map(|limit| format!("  limit {limit}")).unwrap_or_default();
        let verdict = if is_broken { "  BROKEN" } else { "" };
        let decimals = if value < 1000.0 { 3 } else { 0 };
        Ok(writeln!(io::stdout(), "    {what:<32}{value:>12.decimals$}{limit}{verdict}")?)
    }

    /// Whether all values are below their limits.
    pub(crate) fn is_within_limits(&self) -> bool {
        self.broken == 0
    }
}
