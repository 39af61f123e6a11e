//! Normalizes names and keywords: trimmed, in Unicode NFC, without invisible characters.
//!
//! 카페 can be encoded as two syllables or as four letters (jamo). Both look the same, but a database treats them as different.
//! The same is true of a name with an invisible character. Such a name is rejected instead of repaired, because the intended
//! name is unknown.

use std::borrow::Cow;
use std::fmt;

use unicode_normalization::UnicodeNormalization;

/// An invisible character, which a name must not contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invisible {
    /// The character.
    pub character: char,
    /// Its position in characters, counted from 1.
    pub column: u64,
}

impl fmt::Display for Invisible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "U+{:04X}, {}", u32::from(self.character), kind(self.character))
    }
}

/// Why a text is not a valid name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("character {} is invisible ({_0}); remove it", _0.column)]
pub struct Unusable(pub Invisible);

/// Normalizes a name: trims it, replaces every white space character with a plain space, and converts it to NFC.
#[must_use]
pub fn tidy(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_whitespace() { ' ' } else { c }).nfc().collect()
}

/// Checks and normalizes a name from an input.
///
/// # Errors
/// When it contains an invisible character.
pub fn name(text: &str) -> Result<String, Unusable> {
    let trimmed = text.trim();
    let before = text.len() - text.trim_start().len();
    match invisible(trimmed) {
        Some(found) => {
            let skipped = text[..before].chars().map(|_| 1).sum::<u64>();
            Err(Unusable(Invisible { column: found.column + skipped, ..found }))
        }
        None => Ok(tidy(trimmed)),
    }
}

/// The first invisible character of a text. A tab is white space and allowed.
#[must_use]
pub fn invisible(text: &str) -> Option<Invisible> {
    let found = (1..).zip(text.chars()).find(|(_, c)| *c != '\t' && is_invisible(*c));
    found.map(|(column, character)| Invisible { character, column })
}

/// Whether a character is a control character, a layout mark, blank, or the replacement character of a failed conversion.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffd}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character of a text that is only shown would be obeyed by a terminal, turns the direction of writing, or is
/// drawn as nothing. Variation selectors belong to the sign before them.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    is_invisible(c) && !matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{fffd}')
}

/// A text on one line, with everything hidden made visible, for terminals.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    let mut before = ' ';
    while let Some(c) = rest.next() {
        match c {
            // Unicode has a picture of each of these.
            '\0'..='\x1f' => shown.extend(char::from_u32(0x2400 + u32::from(c))),
            '\x7f' => shown.push('␡'),
            // A cook is a man, a joiner and a pan.
            '\u{200d}' if is_picture(before) && rest.peek().copied().is_some_and(is_picture) => shown.push(c),
            c if is_hidden(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
        if c != '\u{fe0f}' {
            before = c;
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is a symbol or an emoji.
fn is_picture(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}')
}

fn kind(c: char) -> &'static str {
    match c {
        '\0' => "a NUL",
        '\u{200b}' => "a zero width space",
        '\u{feff}' => "a byte order mark within the text",
        '\u{fffd}' => "the replacement character of a failed conversion",
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            "a text direction mark"
        }
        c if c.is_control() => "a control character",
        _ => "an invisible character",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 카페 in jamo.
    const DECOMPOSED: &str = "\u{110f}\u{1161}\u{1111}\u{1166}";

    #[test]
    fn names_are_normalized() {
        assert_eq!(DECOMPOSED.chars().count(), 4);
        for text in ["카페", DECOMPOSED, " 카페 ", "\u{a0}카페\u{a0}", "\u{3000}카페\u{3000}", "\t카페\u{2003}"]
        {
            assert_eq!(name(text).unwrap(), "카페", "{text:?}");
        }
        assert_eq!(name("스터디\u{a0}룸").unwrap(), name("스터디 룸").unwrap());
    }

    #[test]
    fn an_invisible_character_is_rejected_with_its_position() {
        for (character, kind) in [
            ('\0', "a NUL"),
            ('\u{1}', "a control character"),
            ('\u{7f}', "a control character"),
            ('\u{85}', "a control character"),
            ('\u{ad}', "an invisible character"),
            ('\u{200b}', "a zero width space"),
            ('\u{200c}', "an invisible character"),
            ('\u{200d}', "an invisible character"),
            ('\u{2060}', "an invisible character"),
            ('\u{202e}', "a text direction mark"),
            ('\u{2066}', "a text direction mark"),
            ('\u{feff}', "a byte order mark within the text"),
            ('\u{3164}', "an invisible character"),
            ('\u{fffd}', "the replacement character of a failed conversion"),
        ] {
            let refused = name(&format!(" 강{character}남")).unwrap_err();

            assert_eq!(refused.0, Invisible { character, column: 3 });
            assert_eq!(refused.0.to_string(), format!("U+{:04X}, {kind}", u32::from(character)));
        }
        assert_eq!(
            name("강\u{200b}남").unwrap_err().to_string(),
            "character 2 is invisible (U+200B, a zero width space); remove it"
        );
    }

    #[test]
    fn control_and_invisible_characters_are_escaped_for_terminals() {
        assert_eq!(visible("가게 1"), "가게 1");
        assert_eq!(visible("\x1b[2J\ttwo\nlines\x7f\u{9b}1m"), "␛[2J␉two␊lines␡\\u{9b}1m");
        assert_eq!(visible("abc\u{202e}cba\u{feff}"), "abc\\u{202e}cba\\u{feff}");
        let hidden = ['\u{ad}', '\u{61c}', '\u{3164}', '\u{feff}', '\u{e0041}', '\u{e0100}'];
        for c in ('\u{200b}'..='\u{200f}').chain('\u{202a}'..='\u{202e}').chain('\u{2060}'..='\u{2069}').chain(hidden) {
            assert_eq!(visible(&format!("a{c}b")), format!("a{}b", c.escape_unicode()));
        }
        for seen in ["👨‍🍳", "❤️‍🔥", "☕️", "\u{fffd}"] {
            assert_eq!(visible(seen), seen);
        }
    }

    #[test]
    fn visible_characters_are_accepted() {
        for text in ["4·19민주묘지역", "가산, 디지털", "서울역(지하)", "ａｂｃ", "학(鶴)", "é", "☕"]
        {
            assert_eq!(name(text).unwrap(), text.nfc().collect::<String>());
        }
    }
}
