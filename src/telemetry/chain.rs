//! An error and its causes on one line.

use std::error::Error;

/// The messages of an error and of all its causes. A cause is omitted if the text before it ends with the same message.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let deeper = error.to_string();
        if !words.ends_with(&deeper) {
            words = format!("{words}: {deeper}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{words}")]
    struct Link {
        words: &'static str,
        source: Option<Box<Link>>,
    }

    fn linked(words: &[&'static str]) -> Link {
        let (first, rest) = words.split_first().unwrap();
        Link { words: first, source: (!rest.is_empty()).then(|| Box::new(linked(rest))) }
    }

    #[test]
    fn each_cause_is_shown_once() {
        let error = linked(&["could not connect", "tcp connect error", "Connection refused", "Connection refused"]);

        assert_eq!(chain(&error), "could not connect: tcp connect error: Connection refused");
        assert_eq!(chain(&linked(&["alone"])), "alone");
    }
}
