//! Korean particles, whose form depends on how the word before them ends: `{1}(이/가)`.

/// The two forms of a particle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    /// After a final consonant.
    closed: &'a str,
    /// After a vowel.
    open: &'a str,
}

/// The particle that a text begins with, and the text after it.
pub(super) fn after(text: &str) -> Option<(Choice<'_>, &str)> {
    let (forms, rest) = text.strip_prefix('(')?.split_once(')')?;
    let (closed, open) = forms.split_once('/')?;
    Some((Choice { closed, open }, rest))
}

impl<'a> Choice<'a> {
    /// The form after a word.
    pub(super) fn for_word(self, word: &str) -> &'a str {
        let last = word.trim_end_matches(['"', '\'', ')', '`']).chars().next_back();
        // 으로 and 로: after ㄹ it is 로, as after a vowel.
        let takes_open = |c: char| !has_final(c) || (self.closed == "으로" && has_final_rieul(c));
        if last.is_none_or(takes_open) { self.open } else { self.closed }
    }
}

/// The number of syllables with the same first letters, one for each final consonant and one without.
const FINALS: u32 = 28;

/// The final consonant ㄹ among them.
const RIEUL: u32 = 8;

fn final_of(c: char) -> Option<u32> {
    ('가'..='힣').contains(&c).then(|| (u32::from(c) - u32::from('가')) % FINALS)
}

/// Digits are read as 영, 일, 이, 삼, 사, 오, 육, 칠, 팔, 구.
fn has_final(c: char) -> bool {
    matches!(c, '0' | '1' | '3' | '6' | '7' | '8') || final_of(c).is_some_and(|consonant| consonant > 0)
}

fn has_final_rieul(c: char) -> bool {
    matches!(c, '1' | '7' | '8') || final_of(c) == Some(RIEUL)
}
