//! A sentence with its translation. `{}` stands for any text, `{w}` for words that are no list, `{t}` for what is no sentence of
//! ours, such as names, `{h}` for one such name, and `{n}` for a number.

use super::particle;

/// A sentence in English and in another language.
#[derive(Debug)]
pub(super) struct Sentence {
    english: Vec<Piece>,
    other: &'static str,
}

/// The case of the first letter of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As in the table.
    Same,
    /// The other one.
    Other,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Words(&'static str),
    Text,
    /// A text without a separator of lists.
    Item,
    /// A text that is not translated, and one without a separator of lists.
    Names,
    Name,
    Number,
}

impl Sentence {
    /// Reads the English sentence. The other one has `{1}`, `{2}` … for the placeholders of the English one, in its own order.
    pub(super) fn new(english: &'static str, other: &'static str) -> Self {
        let mut pieces = Vec::new();
        let mut rest = english;
        while let Some((words, after)) = rest.split_once('{') {
            if !words.is_empty() {
                pieces.push(Piece::Words(words));
            }
            let (kind, after) = after.split_once('}').unwrap_or((after, ""));
            pieces.push(match kind {
                "n" => Piece::Number,
                "w" => Piece::Item,
                "t" => Piece::Names,
                "h" => Piece::Name,
                _ => Piece::Text,
            });
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Words(rest));
        }
        Self { english: pieces, other }
    }

    /// How much of the sentence is its own: sentences with more words are more special.
    pub(super) fn weight(&self) -> usize {
        let words = self.english.iter().map(|piece| match piece {
            Piece::Words(words) => words.len() * 4,
            Piece::Number => 1,
            Piece::Text | Piece::Item | Piece::Names | Piece::Name => 0,
        });
        words.sum()
    }

    /// The number of placeholders.
    #[cfg(test)]
    pub(super) fn placeholders(&self) -> usize {
        self.english.iter().filter(|piece| !matches!(piece, Piece::Words(_))).count()
    }

    /// The values of the placeholders if the text is this sentence, and whether each is to be translated.
    pub(super) fn values<'a>(&self, text: &'a str, case: Case) -> Option<Vec<(&'a str, bool)>> {
        let mut values = Vec::new();
        let is_match = match (case, self.english.split_first()) {
            (Case::Other, Some((Piece::Words(words), further))) => {
                after_words(words, text).is_some_and(|rest| matches(further, rest, &mut values))
            }
            _ => case == Case::Same && matches(&self.english, text, &mut values),
        };
        let placeholders = self.english.iter().filter(|piece| !matches!(piece, Piece::Words(_)));
        is_match.then(|| {
            values.into_iter().zip(placeholders.map(|piece| !matches!(piece, Piece::Names | Piece::Name))).collect()
        })
    }

    /// The other sentence with these values.
    pub(super) fn filled<'a>(&self, values: impl Iterator<Item = &'a str>) -> String {
        let values: Vec<&str> = values.collect();
        let mut said = String::new();
        let mut rest = self.other;
        while let Some((words, after)) = rest.split_once('{') {
            said.push_str(words);
            let (number, after) = after.split_once('}').unwrap_or((after, ""));
            let value = number.parse::<usize>().ok().and_then(|number| values.get(number.checked_sub(1)?));
            said.push_str(value.copied().unwrap_or_default());
            rest = after;
            if let Some((choice, after)) = particle::after(rest) {
                said.push_str(choice.for_word(&said));
                rest = after;
            }
        }
        said + rest
    }
}

/// The text after the words that it begins with, but for the case of the first letter.
fn after_words<'a>(words: &str, text: &'a str) -> Option<&'a str> {
    let (first, other) = (words.chars().next()?, text.chars().next()?);
    if !first.eq_ignore_ascii_case(&other) {
        return None;
    }
    text[other.len_utf8()..].strip_prefix(&words[first.len_utf8()..])
}

/// Whether the pieces make up the text; the values of the placeholders are added. A placeholder is as short as possible.
fn matches<'a>(pieces: &[Piece], text: &'a str, values: &mut Vec<&'a str>) -> bool {
    let Some((piece, further)) = pieces.split_first() else { return text.is_empty() };
    match piece {
        Piece::Words(words) => text.strip_prefix(words).is_some_and(|rest| matches(further, rest, values)),
        Piece::Number => {
            let is_digit = |c: char| c.is_ascii_digit() || matches!(c, ',' | '.' | '−');
            let end = text.find(|c| !is_digit(c)).unwrap_or(text.len());
            // A full stop or a comma at the end belongs to the sentence.
            let end = text[..end].trim_end_matches([',', '.']).len();
            values.push(&text[..end]);
            let is_match = end > 0 && matches(further, &text[end..], values);
            if !is_match {
                values.pop();
            }
            is_match
        }
        Piece::Text | Piece::Item | Piece::Names | Piece::Name => {
            let has = |value: &str, separators: &[&str]| separators.iter().any(|separator| value.contains(separator));
            let is_list = |value: &str| match piece {
                Piece::Item => has(value, &[", ", "; "]),
                // A name would also take the words before it, as in `1 alive: host`.
                Piece::Name => has(value, &[", ", "; ", ": "]),
                Piece::Words(_) | Piece::Text | Piece::Names | Piece::Number => false,
            };
            let next = match further.first() {
                Some(Piece::Words(words)) => *words,
                _ => "",
            };
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]).skip(1);
            let is_possible =
                |end: &usize| further.is_empty() == (*end == text.len()) && text[*end..].starts_with(next);
            for end in ends.filter(is_possible).take_while(|end| !is_list(&text[..*end])) {
                let kept = values.len();
                values.push(&text[..end]);
                if matches(further, &text[end..], values) {
                    return true;
                }
                values.truncate(kept);
            }
            false
        }
    }
}
