//! The form of the documents of an answer: which of the fields that Kakao documents they have, and of which type.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::BYTE_ORDER_MARK;

/// The fields of a document that are stored.
const STORED: [&str; 10] = [
    "id",
    "place_name",
    "category_name",
    "category_group_code",
    "phone",
    "address_name",
    "road_address_name",
    "place_url",
    "x",
    "y",
];

/// The other fields of a document.
const OTHERS: [&str; 2] = ["category_group_name", "distance"];

/// The form of the documents of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// Stored fields that no document has.
    pub missing: Vec<&'static str>,
    /// Other fields that no document has.
    pub missing_others: Vec<&'static str>,
    /// Fields that some documents have and some do not.
    pub missing_in_some: Vec<&'static str>,
    /// Fields that are numbers in at least one document. They are read like text.
    pub numbers: Vec<&'static str>,
    /// The distance of each document from the centre, as the API gives it.
    pub distances_m: Vec<Option<f64>>,
}

#[derive(Default, Deserialize)]
struct Documents<'a> {
    #[serde(borrow)]
    documents: Vec<&'a RawValue>,
}

/// A document as its fields. One that is no object has none.
type Document<'a> = BTreeMap<String, &'a RawValue>;

/// The form of an answer. One that is no page has none.
pub(in crate::kakao) fn of(body: &[u8]) -> Form {
    let text = String::from_utf8_lossy(body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body));
    let documents = serde_json::from_str::<Documents<'_>>(&text).unwrap_or_default().documents;
    let documents: Vec<Document<'_>> =
        documents.into_iter().map(|document| serde_json::from_str(document.get()).unwrap_or_default()).collect();
    let mut form = Form { distances_m: documents.iter().map(distance_m).collect(), ..Form::default() };
    if documents.is_empty() {
        return form;
    }
    for field in STORED.into_iter().chain(OTHERS) {
        let starts = || documents.iter().filter_map(|document| document.get(field)?.get().bytes().next());
        let is_number = |start: &u8| matches!(start, b'-' | b'0'..=b'9');
        match starts().filter(|start| *start == b'"' || is_number(start)).count() {
            0 if STORED.contains(&field) => form.missing.push(field),
            0 => form.missing_others.push(field),
            some if some < documents.len() => form.missing_in_some.push(field),
            _ => {}
        }
        if starts().any(|start| is_number(&start)) {
            form.numbers.push(field);
        }
    }
    form
}

fn distance_m(document: &Document<'_>) -> Option<f64> {
    document.get("distance")?.get().trim_matches('"').trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A document with every field, one of them replaced.
    fn document(field: &str, value: &str) -> String {
        let member = |known: &&str| {
            let value = if *known == field { value } else { "\"1\"" };
            (!value.is_empty()).then(|| format!("{known:?}:{value}"))
        };
        format!("{{{}}}", STORED.iter().chain(&OTHERS).filter_map(member).collect::<Vec<_>>().join(","))
    }

    fn form(documents: &[String]) -> Form {
        of(format!("{{\"documents\":[{}],\"meta\":{{}}}}", documents.join(",")).as_bytes())
    }

    #[test]
    fn a_field_is_missing_where_it_is_neither_a_text_nor_a_number() {
        for nothing in ["", "null", "[]", "{}", "true"] {
            let without = document("phone", nothing);
            assert_eq!(form(&[without.clone(), without.clone()]).missing, ["phone"], "{nothing}");
            let in_some = form(&[without, document("", "")]);
            assert_eq!((in_some.missing.len(), in_some.missing_in_some), (0, vec!["phone"]), "{nothing}");
        }
        assert_eq!(form(&[document("distance", "")]).missing_others, ["distance"]);
        assert_eq!(form(&[document("x", "127.1")]).numbers, ["x"]);
        assert_eq!(form(&[document("", "")]), Form { distances_m: vec![Some(1.0)], ..Form::default() });
    }

    #[test]
    fn an_answer_without_documents_misses_no_field() {
        assert_eq!(form(&[]), Form::default());
        assert_eq!(of(b"<html>"), Form::default());
    }

    #[test]
    fn odd_answers_are_read_like_their_places() {
        let whole = document("", "");
        let page = |documents: &str| format!("\u{feff}{{\"documents\":[{documents}],\"meta\":{{}}}}");

        assert_eq!(of(page(&document("phone", "\"\\ud800\"")).as_bytes()).missing, Vec::<&str>::new());
        assert_eq!(of(page("null").as_bytes()).missing, STORED);
        assert_eq!(of(page(&format!("{whole},null")).as_bytes()).missing_in_some.len(), 12);
    }
}
