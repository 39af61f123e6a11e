//! Tests with recorded and with malformed answers.

use super::*;
use crate::config::redaction::register;
use crate::domain::geo::LatLng;

/// A key that the API may repeat.
const KEY: &str = "wire-canary";

const DOCUMENT: &str = r#"{"address_name":"서울 강남구 삼성동 159","category_group_code":"FD6",
    "category_group_name":"음식점","category_name":"음식점 \u003e 한식","distance":"418","id":"26338954","phone":"",
    "place_name":"한식당","place_url":"http://place.map.kakao.com/26338954","road_address_name":"",
    "x":"127.059028716089","y":"37.5120756277877"}"#;

fn page(documents: &[&str]) -> Page {
    let documents = documents.join(",");
    let meta = r#"{"is_end":false,"pageable_count":45,"same_name":null,"total_count":812}"#;
    parse(format!(r#"{{"documents":[{documents}],"meta":{meta}}}"#).as_bytes()).unwrap()
}

fn head(status: u16) -> Head {
    Head { status: StatusCode::from_u16(status).unwrap(), retry_after: None, redirect: None }
}

fn error(status: u16, body: &str) -> Answer {
    register(KEY);
    classify(&head(status), body.as_bytes()).redacted()
}

fn unexpected(why: &str) -> Answer {
    Answer::Unexpected { retry_after: None, why: why.to_owned() }
}

fn unavailable(why: &str) -> Answer {
    Answer::Unavailable { retry_after: None, why: why.to_owned() }
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
fn a_document_without_id_or_position_is_rejected_and_counted() {
    let page = page(&[
        DOCUMENT,
        &DOCUMENT.replace("26338954", ""),
        &DOCUMENT.replace("127.059028716089", "abc"),
        &DOCUMENT.replace("37.5120756277877", "NaN"),
        &DOCUMENT.replace("37.5120756277877", "127.1"),
        "17",
        "{}",
    ]);

    assert_eq!((page.places.len(), page.rejected.documents, page.documents), (1, 6, 7));
}

#[test]
fn a_rejected_document_is_shown_with_the_reason() {
    let example = |document: &str| page(&[document]).rejected.example.unwrap();

    assert_eq!(example(&DOCUMENT.replace("26338954\",\"phone", "\",\"phone")), "place \"한식당\": no id");
    assert_eq!(
        example(&DOCUMENT.replace("127.059028716089", "")),
        "place 26338954: no position (x \"\", y \"37.5120756277877\")"
    );
    assert_eq!(example("17"), "17: not a document");
    assert!(example(&format!("\"{}\"", "a".repeat(1000))).len() <= 200);
}

#[test]
fn numbers_in_text_fields_are_accepted() {
    let numbers = DOCUMENT
        .replace("\"26338954\"", "26338954")
        .replace("\"127.059028716089\"", "127.059028716089")
        .replace("\"37.5120756277877\"", "3.75120756277877e1")
        .replace("\"phone\":\"\"", "\"phone\":212345678")
        .replace("\"한식당\"", "1.50");

    let (expected, place) = (page(&[DOCUMENT]), page(&[&numbers]).places.remove(0));

    assert_eq!((&place.id, place.position), (&expected.places[0].id, expected.places[0].position));
    assert_eq!((place.name.as_str(), place.phone.as_deref()), ("1.5", Some("212345678")));
    assert_eq!(page(&[&numbers.replace("26338954,", "2.6338954e7,")]).places[0].id, place.id);
}

#[test]
fn a_field_that_is_neither_text_nor_number_counts_as_missing() {
    for odd in ["null", "true", "false", "[]", "[1,\"a\"]", "{}", "{\"a\":{\"b\":1}}"] {
        let page = page(&[
            &DOCUMENT.replace("\"phone\":\"\"", &format!("\"phone\":{odd}")),
            &DOCUMENT.replace("\"서울 강남구 삼성동 159\"", odd),
            &DOCUMENT.replace("\"한식당\"", odd),
            &DOCUMENT.replace("\"26338954\"", odd),
            &DOCUMENT.replace("\"127.059028716089\"", odd),
        ]);

        assert_eq!((page.places.len(), page.rejected.documents), (3, 2), "{odd}");
        assert_eq!((page.places[0].phone.as_ref(), page.places[1].address.as_ref()), (None, None), "{odd}");
        assert_eq!(page.places[2].name, "", "{odd}");
    }
}

#[test]
fn a_document_needs_an_id_and_a_position_only() {
    let page = page(&[r#"{"id":"1","x":"127.05","y":"37.5"}"#, r#"{"id":2,"x":127.05,"y":37.5}"#]);

    assert_eq!((page.places.len(), page.rejected), (2, Rejected::default()));
}

#[test]
fn counts_may_be_strings_and_is_end_may_be_missing() {
    let page = parse(br#"{"documents":[],"meta":{"total_count":"812","pageable_count":" 45 "}}"#).unwrap();

    assert_eq!(page.meta, Meta { total_count: 812, pageable_count: 45, is_end: false });
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let body = format!(
        "\u{feff}{{\"documents\":[{DOCUMENT}],\"meta\":{{\"total_count\":1,\"pageable_count\":1,\"is_end\":true}}}}"
    );

    let Answer::Good(page) = error(200, &body) else { panic!("not a page") };

    assert_eq!(page.places.len(), 1);
    let quota = "\u{feff}{\"code\":-10,\"msg\":\"API limit has been exceeded.\"}";
    assert!(matches!(error(400, quota), Answer::QuotaSpent(_)));
}

#[test]
fn characters_that_cannot_be_stored_are_removed_from_names() {
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
fn a_body_that_is_not_a_page_is_broken() {
    for body in ["", "<html>busy</html>", r#"{"documents":[]}"#, r#"{"documents":[{"id":"1"#, "null", "{}", "[]", "17"]
    {
        assert!(matches!(error(200, body), Answer::Broken(_)), "{body}");
    }
}

#[test]
fn errors_are_classified_from_either_json_format_and_from_html() {
    let message = r#"{"errorType":"ValidationError","message":"query.radius should be at most 20000"}"#;

    assert_eq!(error(400, message), Answer::Refused("400: query.radius should be at most 20000".to_owned()));
    assert_eq!(error(502, "<html>"), Answer::Broken("502: no error message".to_owned()));
    assert_eq!(error(503, ""), unavailable("503: no error message"));
    assert!(matches!(error(429, "{}"), Answer::Throttled { .. }));
}

#[test]
fn an_error_code_may_be_a_number_or_a_string() {
    for code in ["-10", "-11", "\"-10\"", "\" -11 \""] {
        for status in [200, 400, 403, 429, 500] {
            let body = format!(r#"{{"code":{code},"msg":"limit","message":"API limit has been exceeded."}}"#);
            assert_eq!(error(status, &body), Answer::QuotaSpent(format!("{status}: API limit has been exceeded.")));
        }
    }
    for code in ["-1", "-7", "-603", "-9798", "\"-7\""] {
        assert_eq!(error(400, &format!(r#"{{"code":{code},"msg":"busy"}}"#)), unavailable("400: busy"));
    }
    assert_eq!(error(400, r#"{"code":-2,"msg":"wrong argument"}"#), Answer::Refused("400: wrong argument".to_owned()));
    assert_eq!(error(400, r#"{"code":-99}"#), unexpected("400: code -99"));
}

#[test]
fn a_401_or_403_refuses_the_key_only_with_a_body_of_kakao() {
    let strangers = [
        "",
        "<html><h1>403 Forbidden</h1></html>",
        r#"{"message":"Forbidden"}"#,
        r#"{"code":403,"message":"blocked"}"#,
        r#"{"errorType":"Error"}"#,
        r#"["denied"]"#,
        "null",
    ];
    for status in [401, 403] {
        for body in strangers {
            assert!(matches!(error(status, body), Answer::Unexpected { .. }), "{status} {body}");
        }
        let typed = r#"{"errorType":"AccessDeniedError","message":"ip mismatched!"}"#;
        assert_eq!(error(status, typed), Answer::KeyRefused(format!("{status}: ip mismatched!")));
        assert!(matches!(error(status, r#"{"code":"-401","msg":"wrong"}"#), Answer::KeyRefused(_)));
    }
    assert_eq!(error(403, r#"{"message":"Forbidden"}"#), unexpected("403: Forbidden"));
    let nobody = "not an answer of Kakao (a proxy, a firewall or a captive portal?)";
    assert_eq!(error(403, "<html>"), unexpected(&format!("403: {nobody}")));
}

#[test]
fn a_status_that_the_api_never_sends_is_unexpected() {
    for status in [201, 204, 206, 300, 302, 304, 307, 400, 402, 404, 405, 407, 408, 410, 413, 421, 425, 426, 451, 499] {
        for body in ["", "<html>"] {
            assert!(matches!(error(status, body), Answer::Unexpected { .. }), "{status} {body}");
        }
    }
    register(KEY);
    let target = Some(format!("https://login.example/{KEY}/portal"));
    let redirected = classify(&Head { redirect: target, ..head(302) }, b"<html>").redacted();
    assert_eq!(redirected, unexpected("302: redirected to https://login.example/…/portal"));
}

#[test]
fn an_error_body_with_status_200_is_an_error() {
    let typed = |name: &str| error(200, &format!(r#"{{"errorType":"{name}","message":"no"}}"#));

    assert_eq!(typed("ValidationError"), Answer::Refused("200: no".to_owned()));
    assert_eq!(typed("AccessDeniedError"), Answer::KeyRefused("200: no".to_owned()));
    assert!(matches!(typed("RequestThrottled"), Answer::Throttled { .. }));
    assert_eq!(typed("InternalServerError"), Answer::Broken("200: no".to_owned()));
    assert_eq!(error(200, r#"{"code":-7,"msg":"maintenance"}"#), unavailable("200: maintenance"));
}

#[test]
fn the_key_is_not_repeated() {
    for message in ["wrong appKey(wire-canary) format", "appKey(another) and appKey(another2)", "wire-canary!"] {
        let body = serde_json::json!({"errorType": "AccessDeniedError", "message": message}).to_string();

        let Answer::KeyRefused(why) = error(401, &body) else { panic!("not refused") };

        assert!(!why.contains("canary") && !why.contains("another"), "{why}");
    }
    let body = r#"{"documents":[],"meta":{"total_count":"KakaoAK wire-canary","pageable_count":0,"is_end":true}}"#;
    let Answer::Broken(why) = error(200, body) else { panic!("not broken") };
    assert!(why.contains("KakaoAK …"), "{why}");
}

proptest::proptest! {
    #[test]
    fn no_body_makes_the_parser_panic(body: Vec<u8>, status in 100_u16..600) {
        classify(&head(status), &body);
    }

    #[test]
    fn no_field_value_makes_the_parser_panic(text: String) {
        let text = serde_json::to_string(&text).unwrap();
        let page = page(&[&DOCUMENT.replace("\"한식당\"", &text), &DOCUMENT.replace("\"26338954\"", &text)]);
        proptest::prop_assert_eq!(page.documents, 2);
    }
}
