//! The languages of the texts for people. Texts are written in English, also in the database; other languages translate them
//! when they are shown, by one table of sentences.

mod forms;
mod korean;
mod particle;
mod sentence;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::Deserialize;

use sentence::{Case, Sentence};

/// A language of reports, pages and `status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Korean.
    Korean,
}

/// A text that names no language of this program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a language of this program; write \"en\" or \"ko\"")]
pub struct Unknown(String);

impl FromStr for Language {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        match text {
            "en" => Ok(Self::English),
            "ko" => Ok(Self::Korean),
            other => Err(Unknown(other.to_owned())),
        }
    }
}

impl TryFrom<String> for Language {
    type Error = Unknown;

    fn try_from(text: String) -> Result<Self, Unknown> {
        text.parse()
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The Korean sentences; those with the most words of their own come first, because a general sentence matches them, too.
static KOREAN: LazyLock<Vec<Sentence>> = LazyLock::new(|| {
    let mut sentences: Vec<Sentence> =
        korean::SENTENCES.iter().map(|(english, korean)| Sentence::new(english, korean)).collect();
    sentences.sort_by_key(|sentence| std::cmp::Reverse(sentence.weight()));
    sentences
});

/// Between the parts of a text that is a list of sentences, the strongest first.
const SEPARATORS: [&str; 4] = ["; ", ". ", ": ", ", "];

impl Language {
    /// Its code, as in `lang="ko"`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// The language of a locale such as `ko_KR.UTF-8`; `None` if it is another one, or none.
    #[must_use]
    pub fn of_locale(locale: &str) -> Option<Self> {
        locale.split(['_', '.', '@', '-']).next()?.to_ascii_lowercase().parse().ok()
    }

    /// The preferred language of a header `Accept-Language`; `None` if it names none of this program.
    #[must_use]
    pub fn of_header(header: &str) -> Option<Self> {
        let weighted = header.split(',').filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let language = Self::of_locale(parts.next()?)?;
            let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f64>().ok()).unwrap_or(1.0);
            (weight > 0.0).then_some((language, weight))
        });
        // Of equal weights the first counts.
        let best = weighted.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map(|(language, _)| language)
    }

    /// A text in this language. What no sentence says, such as a name or an error of another program, stays as it is.
    #[must_use]
    pub fn say(self, english: &str) -> String {
        match self {
            Self::English => english.to_owned(),
            // The longest sentence of ours is shorter; what is longer came from outside, and must cost no time.
            Self::Korean if english.len() > MOST_BYTES => english.to_owned(),
            Self::Korean => Translation::default().of(english).words,
        }
    }
}

/// A text in another language, and how much of it is still English.
#[derive(Clone, Debug)]
struct Said {
    words: String,
    /// The number of letters that were not translated.
    left: usize,
}

impl Said {
    /// A text as it is.
    fn as_is(text: &str) -> Self {
        Self { words: text.to_owned(), left: text.chars().filter(char::is_ascii_alphabetic).count() }
    }
}

/// Of all ways to read a text as sentences, the one that leaves the least English is taken. What was found for a part is kept,
/// because many ways lead to the same parts.
#[derive(Default)]
struct Translation<'a> {
    found: HashMap<&'a str, Said>,
    depth: usize,
}

impl<'a> Translation<'a> {
    fn of(&mut self, english: &'a str) -> Said {
        let start = english.len() - english.trim_start().len();
        let end = english.trim_end().len().max(start);
        let (before, text, after) = (&english[..start], &english[start..end], &english[end..]);
        self.depth += 1;
        let mut said = if self.depth > DEEPEST { Said::as_is(text) } else { self.trimmed(text) };
        self.depth -= 1;
        if start > 0 || end < english.len() {
            said.words = format!("{before}{}{after}", said.words);
        }
        said
    }

    fn trimmed(&mut self, text: &'a str) -> Said {
        let as_is = Said::as_is(text);
        if as_is.left == 0 {
            // A figure may have a Korean form even without letters.
            return forms::korean(text).map_or(as_is, |words| Said { words, left: 0 });
        }
        if let Some(said) = self.found.get(text) {
            return said.clone();
        }
        // If the search comes back to this text, it has found nothing new.
        self.found.insert(text, as_is.clone());
        let mut best = forms::korean(text).map_or(as_is, |words| Said { words, left: 0 });
        // At the start of a line, a sentence may have a capital letter that it has not in the table.
        let readings = [Case::Same, Case::Other].into_iter().flat_map(|case| KOREAN.iter().map(move |one| (one, case)));
        for (sentence, case) in readings {
            if best.left == 0 {
                break;
            }
            if let Some(values) = sentence.values(text, case) {
                let values: Vec<Said> = values.into_iter().map(|value| self.value(value)).collect();
                let left = values.iter().map(|value| value.left).sum();
                if left < best.left {
                    best = Said { words: sentence.filled(values.iter().map(|value| value.words.as_str())), left };
                }
            }
        }
        self.in_parts(text, &mut best);
        self.found.insert(text, best.clone());
        best
    }

    /// The value of a placeholder. A name is no English, whatever its letters are.
    fn value(&mut self, (value, is_ours): (&'a str, bool)) -> Said {
        if is_ours { self.of(value) } else { Said { words: value.to_owned(), left: 0 } }
    }

    /// Reads a text as a list: two parts, which may be lists again.
    fn in_parts(&mut self, text: &'a str, best: &mut Said) {
        let splits: Vec<(&str, usize)> = SEPARATORS
            .iter()
            .flat_map(|separator| text.match_indices(separator).map(|(at, separator)| (separator, at)))
            .collect();
        if let Some((separator, _)) = splits.first().filter(|_| splits.len() > MOST_PARTS) {
            // Each further place to split at multiplies the ways to read the text, so there is one for all.
            let parts: Vec<Said> = text.split(separator).map(|part| self.of(part)).collect();
            let left = parts.iter().map(|part| part.left).sum();
            if left < best.left {
                let words: Vec<String> = parts.into_iter().map(|part| part.words).collect();
                *best = Said { words: words.join(separator), left };
            }
            return;
        }
        for (separator, at) in splits {
            if best.left == 0 {
                break;
            }
            let (head, tail) = (self.of(&text[..at]), self.of(&text[at + separator.len()..]));
            if head.left + tail.left < best.left {
                let words = format!("{}{separator}{}", head.words, tail.words);
                *best = Said { words, left: head.left + tail.left };
            }
        }
    }
}

/// Separators in a text, above which it counts as a long list.
const MOST_PARTS: usize = 24;

/// How deep sentences may be in each other: deeper than any of ours.
const DEEPEST: usize = 30;

/// The length of a text above which it is not translated.
const MOST_BYTES: usize = 3000;

#[cfg(test)]
mod tests;
