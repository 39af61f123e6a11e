//! Writes JSON directly into a string.

use std::fmt::Write as _;

/// Appends formatted text.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to a string cannot fail");
}

/// Appends a label and a JSON string. It escapes the same characters as the API.
pub(super) fn push_text(out: &mut String, label: &str, text: &str) {
    out.push_str(label);
    out.push('"');
    let mut rest = text;
    while let Some(position) = rest.find(|c: char| matches!(c, '"' | '\\' | '<' | '>' | '&' | '\0'..='\x1f')) {
        let (plain, tail) = rest.split_at(position);
        out.push_str(plain);
        match tail.as_bytes()[0] {
            byte @ (b'"' | b'\\') => out.extend(['\\', char::from(byte)]),
            byte => push(out, format_args!("\\u{byte:04x}")),
        }
        rest = &tail[1..];
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_preserved() {
        let odd = "\"\\<a>&\u{1}\n한";
        let mut text = String::new();
        push_text(&mut text, "", odd);

        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), odd);
    }
}
