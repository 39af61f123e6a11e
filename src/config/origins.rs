//! The settings in force, each with its value as text and where the value came from. Secrets are not shown.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use config::{ConfigError, Map, Source, Value, ValueKind};

/// Settings whose values are secrets.
const SECRET: [&str; 4] = ["kakao.api_key", "database.url", "notify.ping_url", "notify.webhook_url"];

/// The text that replaces a secret.
const MARK: &str = "…";

/// The value of a setting that has none.
const UNSET: &str = "unset";

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, such as `crawl.radius_m`.
    pub name: String,
    /// Its value, with a mark in place of a secret.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// Where a value came from. A later variant overrides an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in defaults.
    Default,
    /// The defaults that `--demo` changes.
    Demo,
    /// A configuration file.
    File(PathBuf),
    /// A variable, or the file or the folder of credentials that it names.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Demo => f.write_str("--demo"),
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// The settings of all layers so far.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<String, (String, Origin)>);

impl Settings {
    /// The settings of the defaults: every setting that there is. The text of the defaults shows optional ones as comments.
    pub(super) fn of_defaults(text: &str, source: &dyn Source) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        for name in optional(text) {
            settings.0.insert(name, (UNSET.to_owned(), Origin::Default));
        }
        settings.add(source, |_| Origin::Default)?;
        Ok(settings)
    }

    /// Adds a layer, which overrides the earlier ones.
    pub(super) fn add(&mut self, layer: &dyn Source, origin: impl Fn(&str) -> Origin) -> Result<(), ConfigError> {
        let mut flat = Vec::new();
        flatten("", layer.collect()?, &mut flat);
        for (name, value) in flat {
            let value = if SECRET.contains(&name.as_str()) { MARK.to_owned() } else { text(&value) };
            let origin = origin(&name);
            self.0.insert(name, (value, origin));
        }
        Ok(())
    }

    /// Gives a setting without a value the one that the program uses.
    pub(super) fn fill(&mut self, name: &str, value: &Path) {
        if let Some((filled, _)) = self.0.get_mut(name).filter(|(value, _)| value == UNSET) {
            *filled = value.display().to_string();
        }
    }

    /// All settings, by name.
    pub(super) fn into_list(self) -> Vec<Setting> {
        self.0.into_iter().map(|(name, (value, origin))| Setting { name, value, origin }).collect()
    }
}

/// The names of the settings that a text of defaults mentions in comments only: `# name = …`.
fn optional(text: &str) -> Vec<String> {
    let mut section = "";
    let mut names = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = head;
        }
        let name = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).map(|(name, _)| name);
        let is_name = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        names.extend(name.filter(is_name).map(|name| format!("{section}.{name}")));
    }
    names
}

/// The values of nested tables, under names with dots.
fn flatten(prefix: &str, table: Map<String, Value>, flat: &mut Vec<(String, Value)>) {
    for (key, value) in table {
        let name = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        if let ValueKind::Table(table) = value.kind {
            flatten(&name, table, flat);
        } else {
            flat.push((name, value));
        }
    }
}

fn text(value: &Value) -> String {
    if let ValueKind::Array(items) = &value.kind {
        return items.iter().map(text).collect::<Vec<_>>().join(", ");
    }
    if let ValueKind::Table(table) = &value.kind {
        let mut fields: Vec<_> = table.iter().map(|(name, value)| format!("{name} = {}", text(value))).collect();
        fields.sort();
        return format!("{{ {} }}", fields.join(", "));
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULTS;

    #[test]
    fn optional_settings_are_found_in_the_comments_of_the_defaults() {
        let names = optional(DEFAULTS);

        for name in ["crawl.stations", "kakao.api_key", "kakao.requests_per_second", "database.url", "observe.listen"] {
            assert!(names.iter().any(|known| known == name), "{name}: {names:?}");
        }
    }
}
