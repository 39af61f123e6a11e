//! The form of the documents of an answer: which of the fields that Kakao documents they have, and of which type.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

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
struct Documents {
    documents: Vec<BTreeMap<String, Value>>,
}

/// The form of an answer. One that is no page has none.
pub(in crate::kakao) fn of(body: &[u8]) -> Form {
    let documents = serde_json::from_slice::<Documents>(body).unwrap_or_default().documents;
    let mut form = Form { distances_m: documents.iter().map(distance_m).collect(), ..Form::default() };
    if documents.is_empty() {
        return form;
    }
    for field in STORED.into_iter().chain(OTHERS) {
        let values = || documents.iter().filter_map(|document| document.get(field));
        match values().filter(|value| value.is_string() || value.is_number()).count() {
            0 if STORED.contains(&field) => form.missing.push(field),
            0 => form.missing_others.push(field),
            some if some < documents.len() => form.missing_in_some.push(field),
            _ => {}
        }
        if values().any(Value::is_number) {
            form.numbers.push(field);
        }
    }
    form
}

fn distance_m(document: &BTreeMap<String, Value>) -> Option<f64> {
    match document.get("distance")? {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_f64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
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
}
