//! Answers as recorded, and answers that nobody should send.

use super::*;

const DOCUMENT: &str = r#"{"address_name":"서울 강남구 삼성동 159","category_group_code":"FD6",
    "category_group_name":"음식점","category_name":"음식점 \u003e 한식","distance":"418","id":"26338954","phone":"",
    "place_name":"한식당","place_url":"http://place.map.kakao.com/26338954","road_address_name":"",
    "x":"127.059028716089","y":"37.5120756277877"}"#;

fn page(documents: &[&str]) -> Page {
    let documents = documents.join(",");
    let meta = r#"{"is_end":false,"pageable_count":45,"same_name":null,"total_count":812}"#;
    parse(format!(r#"{{"documents":[{documents}],"meta":{meta}}}"#).as_bytes()).unwrap()
}

fn key() -> SecretString {
    SecretString::from("canary")
}

fn error(status: u16, body: &str) -> Answer {
    classify(StatusCode::from_u16(status).unwrap(), None, body.as_bytes(), &key())
}

#[test]
fn a_document_becomes_a_place() {
    let page = page(&[DOCUMENT]);

    let place = &page.places[0];
    assert_eq!(place.category_name.as_deref(), Some("음식점 > 한식"));
    assert_eq!(place.position, LatLng::new(37.512_075_627_787_7, 127.059_028_716_089).unwrap());
    assert_eq!((place.phone.as_deref(), place.road_address.as_deref()), (None, None));
    assert_eq!(page.meta, Meta { total_count: 812, pageable_count: 45, is_end: false });
}

#[test]
fn a_document_without_id_or_position_is_left_out_and_counted() {
    let page = page(&[
        DOCUMENT,
        &DOCUMENT.replace("26338954", ""),
        &DOCUMENT.replace("127.059028716089", "abc"),
        &DOCUMENT.replace("37.5120756277877", "NaN"),
        &DOCUMENT.replace("37.5120756277877", "127.1"),
        "17",
        "{}",
    ]);

    assert_eq!((page.places.len(), page.rejected, page.documents), (1, 6, 7));
}

#[test]
fn odd_texts_are_stored_without_what_cannot_be() {
    let page = page(&[
        &DOCUMENT.replace("한식당", r"\u0000한\u0000식당"),
        &DOCUMENT.replace("한식당", r"half \ud83d"),
        &DOCUMENT.replace("\"한식당\"", "null"),
    ]);

    let names: Vec<_> = page.places.iter().map(|place| place.name.as_str()).collect();
    assert_eq!(names[0], "한식당");
    assert!(names[1].starts_with("half \u{fffd}"), "{names:?}");
    assert_eq!(names[2], "");
}

#[test]
fn what_is_no_page_is_broken() {
    for body in ["", "<html>busy</html>", r#"{"documents":[]}"#, r#"{"documents":[{"id":"1"#, "null"] {
        assert!(matches!(error(200, body), Answer::Broken(_)), "{body}");
    }
}

#[test]
fn both_shapes_of_an_error_are_read_and_html_is_taken() {
    let message = r#"{"errorType":"ValidationError","message":"query.radius should be at most 20000"}"#;

    assert_eq!(error(400, message), Answer::Refused("400: query.radius should be at most 20000".to_owned()));
    assert!(matches!(error(400, r#"{"code":-10,"msg":"API limit has been exceeded."}"#), Answer::QuotaSpent(_)));
    assert_eq!(error(502, "<html>"), Answer::Broken("502: no error message".to_owned()));
    assert!(matches!(error(503, ""), Answer::Unavailable { .. }));
    assert!(matches!(error(429, "{}"), Answer::Throttled { .. }));
}

#[test]
fn the_key_is_not_repeated() {
    for message in ["wrong appKey(canary) format", "appKey(canary2) does not exist", "canary!", "appKey(canary"] {
        let body = serde_json::json!({"errorType": "AccessDeniedError", "message": message}).to_string();

        let Answer::KeyRefused(why) = error(401, &body) else { panic!("not refused") };

        assert!(!why.contains("canary"), "{why}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_panic_the_parser(body: Vec<u8>, status in 100_u16..600) {
        let status = StatusCode::from_u16(status).unwrap();
        classify(status, None, &body, &key());
    }

    #[test]
    fn no_text_in_a_document_panics_the_parser(text: String) {
        let text = serde_json::to_string(&text).unwrap();
        let page = page(&[&DOCUMENT.replace("\"한식당\"", &text), &DOCUMENT.replace("\"26338954\"", &text)]);
        proptest::prop_assert_eq!(page.documents, 2);
    }
}
