//! The bodies: documents, what an answer says about itself, and errors, in the exact shapes of the API.
//!
//! They are written straight into one text: the stand-in often shares its processor with the program it tests.

use std::fmt::Write as _;

use super::request::Wanted;
use super::switches::Switches;
use super::world::{StandinPlace, World};
use crate::domain::geo::LatLng;

/// Room for a page of places, so that a body is allocated once.
const BODY_BYTES: usize = 8 * 1024;

/// The body of a request that follows the rules.
pub(super) fn body(world: &World, wanted: &Wanted, switches: &Switches) -> String {
    let found = find(world, wanted, switches);
    let mut out = String::with_capacity(BODY_BYTES);
    out.push_str("{\"documents\":[");
    for (position, found) in found.documents.iter().enumerate() {
        out.push_str(if position == 0 { "" } else { "," });
        push_document(&mut out, found, wanted.search.center);
    }
    let Found { is_end, pageable, total, .. } = found;
    push(&mut out, format_args!("],\"meta\":{{\"is_end\":{is_end},\"pageable_count\":{pageable},\"same_name\":"));
    match &wanted.search.query {
        None => out.push_str("null"),
        Some(query) => {
            push_text(&mut out, "{\"keyword\":", query);
            out.push_str(",\"region\":[],\"selected_region\":\"\"}");
        }
    }
    push(&mut out, format_args!(",\"total_count\":{total}}}}}"));
    out
}

/// A page and what it says about itself.
struct Found<'a> {
    documents: Vec<&'a StandinPlace>,
    is_end: bool,
    pageable: u32,
    total: usize,
}

fn find<'a>(world: &'a World, wanted: &Wanted, switches: &Switches) -> Found<'a> {
    if switches.is_empty {
        return Found { documents: Vec::new(), is_end: !switches.never_ends, pageable: 0, total: 0 };
    }
    let thin_out = switches.thin_out.as_ref().filter(|(keyword, _)| wanted.search.query.as_ref() == Some(keyword));
    let cap = switches.pageable_cap;
    let (total, first) = world.first(&wanted.search, cap as usize, thin_out.map(|(_, nth)| *nth));
    let pageable = u32::try_from(total).unwrap_or(cap).min(cap);
    let last = pageable.div_ceil(wanted.size).max(1);
    // A page beyond the end is the last one again.
    let skip = (wanted.page.min(last) - 1) * wanted.size;
    let documents = first.into_iter().skip(skip as usize).take(wanted.size as usize).collect();
    Found { documents, is_end: wanted.page >= last && !switches.never_ends, pageable, total }
}

fn push_document(out: &mut String, found: &StandinPlace, center: Option<LatLng>) {
    let place = &found.place;
    let group = place.category_group_code.as_deref().unwrap_or_default();
    push_text(out, "{\"address_name\":", place.address.as_deref().unwrap_or_default());
    push_text(out, ",\"category_group_code\":", group);
    push_text(out, ",\"category_group_name\":", group_name(group));
    push_text(out, ",\"category_name\":", place.category_name.as_deref().unwrap_or_default());
    out.push_str(",\"distance\":\"");
    if let Some(center) = center {
        push(out, format_args!("{:.0}", center.distance_m(place.position).floor()));
    }
    push_text(out, "\",\"id\":", place.id.as_str());
    push_text(out, ",\"phone\":", place.phone.as_deref().unwrap_or_default());
    push_text(out, ",\"place_name\":", &place.name);
    push_text(out, ",\"place_url\":", place.url.as_deref().unwrap_or_default());
    push_text(out, ",\"road_address_name\":", place.road_address.as_deref().unwrap_or_default());
    let (x, y) = (place.position.longitude(), place.position.latitude());
    push(out, format_args!(",\"x\":\"{x}\",\"y\":\"{y}\"}}"));
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes every text");
}

/// Adds a label and a JSON string, with the characters escaped that the API escapes.
fn push_text(out: &mut String, label: &str, text: &str) {
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

fn group_name(code: &str) -> &'static str {
    match code {
        "MT1" => "대형마트",
        "CS2" => "편의점",
        "PS3" => "어린이집,유치원",
        "SC4" => "학교",
        "AC5" => "학원",
        "PK6" => "주차장",
        "OL7" => "주유소,충전소",
        "SW8" => "지하철역",
        "BK9" => "은행",
        "CT1" => "문화시설",
        "AG2" => "중개업소",
        "PO3" => "공공기관",
        "AT4" => "관광명소",
        "AD5" => "숙박",
        "FD6" => "음식점",
        "CE7" => "카페",
        "HP8" => "병원",
        "PM9" => "약국",
        _ => "",
    }
}

/// Why a request is not answered with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No key was sent.
    NoKey,
    /// The wrong key was sent; the API repeats it.
    UnknownKey(String),
    /// The app may not use the service.
    Disabled,
    /// Too fast, or the quota is spent: the API does not tell which.
    Throttled,
    /// The quota is spent, in the documented form.
    QuotaCode,
    /// A parameter is missing.
    Missing(&'static str),
    /// A parameter breaks its rule.
    Invalid(String),
    /// No such path.
    NotFound,
}

impl Refusal {
    /// The HTTP status.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::NoKey | Self::UnknownKey(_) => 401,
            Self::Disabled => 403,
            Self::Throttled => 429,
            Self::QuotaCode | Self::Missing(_) | Self::Invalid(_) => 400,
            Self::NotFound => 404,
        }
    }

    /// What the API says.
    pub(super) fn message(&self) -> String {
        match self {
            Self::NoKey => "cannot find Authorization : KakaoAK header".to_owned(),
            Self::UnknownKey(key) => format!("appKey({key}) does not exist"),
            Self::Disabled => "App(sanggwond) disabled OPEN_MAP_AND_LOCAL service.".to_owned(),
            Self::Throttled | Self::QuotaCode => "API limit has been exceeded.".to_owned(),
            Self::Missing(name) => format!("{name} parameter required"),
            Self::Invalid(message) => message.clone(),
            Self::NotFound => "no such path".to_owned(),
        }
    }

    /// The JSON.
    pub(super) fn body(&self) -> String {
        let error_type = match self {
            Self::NoKey | Self::UnknownKey(_) => "AccessDeniedError",
            Self::Disabled => "NotAuthorizedError",
            Self::Throttled => "RequestThrottled",
            Self::QuotaCode => return "{\"code\":-10,\"msg\":\"API limit has been exceeded.\"}".to_owned(),
            Self::Missing(_) => "MissingParameter",
            Self::Invalid(_) => "ValidationError",
            Self::NotFound => "NotFound",
        };
        error_body(error_type, &self.message())
    }
}

/// An error as the Local API sends it.
pub(super) fn error_body(error_type: &str, message: &str) -> String {
    let mut out = String::new();
    push_text(&mut out, "{\"errorType\":", error_type);
    push_text(&mut out, ",\"message\":", message);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::standin::samples::{at, place};
    use crate::standin::world::Search;

    fn world(count: i32) -> World {
        World::new((0..count).map(|number| place(&format!("{}", 10_000_000 + number), at(37.5, 127.0))).collect())
    }

    fn wanted(page: u32) -> Wanted {
        let query = Some("카페".to_owned());
        Wanted { search: Search { query, ..Search::default() }, page, size: 15 }
    }

    fn answer(count: i32, page: u32, switches: &Switches) -> Value {
        serde_json::from_str(&body(&world(count), &wanted(page), switches)).unwrap()
    }

    #[test]
    fn a_document_has_exactly_the_twelve_fields_of_the_api() {
        let mut wanted = wanted(1);
        wanted.search.center = Some(at(37.509, 127.0));

        let text = body(&world(1), &wanted, &Switches::default());

        let expected = concat!(
            r#"{"documents":[{"address_name":"서울 강남구 역삼동 1-1","category_group_code":"CE7","#,
            r#""category_group_name":"카페","category_name":"음식점 \u003e 카페","distance":"998","id":"10000000","#,
            r#""phone":"","place_name":"빵\u0026커피","place_url":"http://place.map.kakao.com/10000000","#,
            r#""road_address_name":"","x":"127","y":"37.5"}],"meta":{"is_end":true,"pageable_count":1,"#,
            r#""same_name":{"keyword":"카페","region":[],"selected_region":""},"total_count":1}}"#,
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn a_page_beyond_the_end_repeats_the_last_one() {
        let third = answer(812, 3, &Switches::default());

        assert_eq!(answer(812, 4, &Switches::default()), third);
        assert_eq!(answer(812, 45, &Switches::default()), third);
        assert_eq!(third["documents"].as_array().unwrap().len(), 15);
        assert_eq!(third["meta"]["is_end"], true);
        assert_eq!(answer(812, 2, &Switches::default())["meta"]["is_end"], false);
    }

    #[test]
    fn all_matches_are_counted_but_few_can_be_paged_to() {
        let capped = Switches { pageable_cap: 44, ..Switches::default() };

        let meta = answer(812, 1, &Switches::default())["meta"].clone();
        assert_eq!((&meta["total_count"], &meta["pageable_count"]), (&812.into(), &45.into()));
        let last = answer(812, 3, &capped);
        assert_eq!((&last["meta"]["pageable_count"], last["documents"].as_array().unwrap().len()), (&44.into(), 14));
    }

    #[test]
    fn an_empty_result_is_its_own_end() {
        for switches in [Switches::default(), Switches { is_empty: true, ..Switches::default() }] {
            let count = if switches.is_empty { 30 } else { 0 };
            let answer = answer(count, 1, &switches);
            assert!(answer["documents"].as_array().unwrap().is_empty());
            assert_eq!((&answer["meta"]["is_end"], &answer["meta"]["total_count"]), (&true.into(), &0.into()));
        }
    }

    #[test]
    fn the_end_can_be_hidden() {
        let switches = Switches { never_ends: true, ..Switches::default() };

        assert_eq!(answer(812, 3, &switches)["meta"]["is_end"], false);
    }

    #[test]
    fn every_character_survives_the_json() {
        let odd = "\"\\<a>&\u{1}\n한";
        let mut text = String::new();
        push_text(&mut text, "", odd);

        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), odd);
    }
}
