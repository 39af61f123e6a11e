//! Removes secrets from error texts of the API, the HTTP client and the database driver.
//!
//! Such an error text may quote what was sent, including secrets. It passes [`redacted`] before it is logged, stored or
//! shown. All secrets are registered for the whole process when the configuration is read, and all are removed from every
//! text: a database error can quote the API key, and an error of the API can quote the password of the database.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use percent_encoding::percent_decode_str;

use crate::domain::text::is_invisible;

/// All registered secrets, in lower case and sorted by length, longest first: a secret that contains another one must be
/// replaced before it.
static KNOWN: RwLock<Vec<String>> = RwLock::new(Vec::new());

/// Minimum length of a secret in bytes. A shorter one would occur in many harmless texts, and is too weak to protect
/// anything.
const MIN_BYTES: usize = 4;

/// Secrets of at least this length in bytes do not occur in a name or a phone number by accident.
const UNMISTAKABLE_BYTES: usize = 16;

/// Maximum length of the texts that [`redacted`] returns, in characters.
const MAX_CHARS: usize = 500;

/// The text that replaces a secret, and the end of a truncated text.
const MARK: &str = "…";

/// The text before a key in Kakao's error messages, in lower case. The key may be one that is not registered.
const KEY_OPENS: &str = "appkey(";

/// Registers a secret in four forms: as written, URL-decoded, and both with the escapes of Rust's debug format, which
/// error messages use.
pub fn register(secret: &str) {
    let secret = secret.trim();
    let decoded = percent_decode_str(secret).decode_utf8_lossy();
    let (escaped, decoded_and_escaped) = (secret.escape_debug().to_string(), decoded.escape_debug().to_string());
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    for form in [secret, &decoded, &escaped, &decoded_and_escaped] {
        let form = form.to_ascii_lowercase();
        if form.len() >= MIN_BYTES && !known.contains(&form) {
            known.push(form);
        }
    }
    known.sort_by_key(|form| std::cmp::Reverse(form.len()));
}

/// Registers a whole URL as a secret, and the passwords in it.
pub fn register_url(url: &str) {
    register(url);
    register_passwords(url);
}

/// Registers as secrets the password of a URL and the values of its parameters whose names contain "password".
pub fn register_passwords(url: &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
    // A password that is not URL-encoded may contain @ and ?, so its end is ambiguous. Both possible passwords are
    // registered: the one that ends at the last @ before the first ?, and the one that ends at the last @ of the URL.
    for user in [authority, rest].into_iter().filter_map(|part| part.rsplit_once('@')) {
        if let Some((_, password)) = user.0.split_once(':') {
            register(password);
        }
    }
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        if name.to_ascii_lowercase().contains("password") {
            register(value);
        }
    }
}

/// Removes secrets from a text, escapes its control and invisible characters, and truncates it to 500 characters.
#[must_use]
pub fn redacted(text: &str) -> String {
    let safe = without_secrets(text);
    let escaped = safe.chars().take(MAX_CHARS + 1).fold(String::new(), |mut escaped, character| {
        if is_invisible(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
        escaped
    });
    match escaped.char_indices().nth(MAX_CHARS - 1) {
        Some((at, last)) if at + last.len_utf8() < escaped.len() => format!("{}{MARK}", &escaped[..at]),
        _ => escaped,
    }
}

/// Removes secrets from a text, without truncating it.
#[must_use]
pub fn without_secrets(text: &str) -> Cow<'_, str> {
    let mut safe = Cow::Borrowed(text);
    for secret in KNOWN.read().unwrap_or_else(PoisonError::into_inner).iter() {
        if let Some(replaced) = replaced(&safe, secret) {
            safe = Cow::Owned(replaced);
        }
    }
    match without_keys(&safe) {
        Some(replaced) => Cow::Owned(replaced),
        None => safe,
    }
}

/// Whether a text contains a registered secret that is long enough not to occur by accident.
#[must_use]
pub fn repeats_a_secret(text: &str) -> bool {
    if text.len() < UNMISTAKABLE_BYTES {
        return false;
    }
    let lower = text.to_ascii_lowercase();
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    known.iter().filter(|secret| secret.len() >= UNMISTAKABLE_BYTES).any(|secret| lower.contains(secret.as_str()))
}

/// Replaces every occurrence of a secret, ignoring the case of ASCII letters; `None` if the text does not contain it.
fn replaced(text: &str, secret: &str) -> Option<String> {
    // Converting ASCII letters to lower case does not change offsets, so those of `lower` are valid in `text`.
    let lower = text.to_ascii_lowercase();
    let mut safe = String::new();
    let mut after = 0;
    for (at, _) in lower.match_indices(secret) {
        safe.push_str(&text[after..at]);
        safe.push_str(MARK);
        after = at + secret.len();
    }
    (after > 0).then(|| safe + &text[after..])
}

/// Replaces the key in every `appKey(…)`; `None` if the text contains none.
fn without_keys(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut safe = String::new();
    let mut after = 0;
    while let Some(start) = lower[after..].find(KEY_OPENS).map(|at| after + at + KEY_OPENS.len()) {
        let end = lower[start..].find(')').map_or(text.len(), |at| start + at);
        safe.push_str(&text[after..start]);
        safe.push_str(MARK);
        after = end;
    }
    (after > 0).then(|| safe + &text[after..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_removed_in_every_encoding() {
        register("SeKret-of-redaction");

        assert_eq!(redacted("a sekret-OF-redaction, SeKret-of-redaction!"), "a …, …!");
        assert_eq!(
            redacted("invalid value: string \"KakaoAK SeKret-of-redaction\""),
            "invalid value: string \"KakaoAK …\""
        );
        assert_eq!(redacted(&format!("{}SeKret-of-redaction", "x".repeat(490))), format!("{}…", "x".repeat(490)));
    }

    #[test]
    fn only_the_passwords_of_a_url_are_removed_as_written_decoded_and_escaped() {
        register_url("postgres://u:pa%2Fss%22w%C3%B6rt@h/d?sslPassword=tls%20canary&application_name=visible");

        for text in ["pa%2Fss%22w%C3%B6rt", "pa/ss\"wört", "pa/ss\\\"wört", "tls%20canary", "tls canary"] {
            assert_eq!(redacted(text), "…", "{text}");
        }
        assert_eq!(redacted("visible"), "visible");
        register_url("postgres://u:with/slash?and@h/d");
        assert_eq!(redacted("with/slash?and"), "…");
    }

    #[test]
    fn every_key_in_parentheses_is_removed() {
        assert_eq!(redacted("appKey(abc) and appkey(def), APPKEY(ghi"), "appKey(…) and appkey(…), APPKEY(…");
    }

    #[test]
    fn control_characters_are_escaped_and_long_texts_are_shortened() {
        assert_eq!(redacted("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(redacted(&"가".repeat(501)).chars().count(), 500);
        assert_eq!(redacted(&"가".repeat(500)), "가".repeat(500));
        assert_eq!(redacted(&redacted("a\u{1b}b\nc")), redacted("a\u{1b}b\nc"), "redaction is idempotent");
    }

    #[test]
    fn a_very_short_secret_is_not_redacted() {
        register("qjx");

        assert_eq!(redacted("qjx"), "qjx");
    }

    proptest::proptest! {
        #[test]
        fn a_secret_is_removed_from_any_surrounding_text(before: String, after: String) {
            register("0f9e8d7c6b5a4938");
            let text = redacted(&format!("{before}0f9e8d7c6b5a4938{after}"));
            proptest::prop_assert!(!text.contains("0f9e8d7c6b5a4938") && text.chars().count() <= 500);
        }
    }
}
