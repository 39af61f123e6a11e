//! The bodies of successful responses: `documents` and `meta`, in the exact format of the API.
//!
//! They are written directly into one string, because the stand-in often shares its processor with the program under test.

use super::drift::Drift;
use super::json::{push, push_text};
use super::request::Wanted;
use super::switches::Switches;
use super::world::{Hidden, StandinPlace, World};
use crate::domain::geo::LatLng;

/// The capacity for a page of places, in bytes, so that a body is allocated only once.
const BODY_BYTES: usize = 8 * 1024;

/// A valid request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The search that is carried out.
    pub(super) wanted: &'a Wanted,
    /// The query of the request.
    pub(super) query: Option<&'a str>,
    /// The number of the request.
    pub(super) number: u64,
}

/// The response body of a valid request.
pub(super) fn body(world: &World, Asked { wanted, query, number }: Asked<'_>, switches: &Switches) -> String {
    let mut found = find(world, wanted, switches);
    if switches.drift == Some(Drift::CountsWobble) && number.is_multiple_of(2) {
        found.total += found.total.div_ceil(5);
    }
    let mut out = String::with_capacity(BODY_BYTES);
    out.push_str("{\"documents\":[");
    for (position, found) in found.documents.iter().enumerate() {
        out.push_str(if position == 0 { "" } else { "," });
        push_document(&mut out, found, wanted.search.center, switches.drift);
    }
    let Found { is_end, pageable, total, .. } = found;
    push(&mut out, format_args!("],\"meta\":{{\"is_end\":{is_end},\"pageable_count\":{pageable},\"same_name\":"));
    match query {
        None => out.push_str("null"),
        Some(query) => {
            push_text(&mut out, "{\"keyword\":", query);
            out.push_str(",\"region\":[],\"selected_region\":\"\"}");
        }
    }
    push(&mut out, format_args!(",\"total_count\":{total}}}}}"));
    out
}

/// A page of results, and its `meta` values.
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
    let limit = if switches.drift == Some(Drift::LowLimit) { Drift::LOW_LIMIT } else { u32::MAX };
    let cap = switches.pageable_cap.min(limit);
    let hidden =
        Hidden { nth: thin_out.map(|(_, nth)| *nth), is_every_other: switches.drift == Some(Drift::HalfMissing) };
    let (total, first) = world.first(&wanted.search, cap as usize, hidden);
    let pageable = u32::try_from(total).unwrap_or(cap).min(cap);
    let last = pageable.div_ceil(wanted.size).max(1);
    // As in the real API, a page beyond the end repeats the last one.
    let skip = (wanted.page.min(last) - 1) * wanted.size;
    let documents = first.into_iter().skip(skip as usize).take(wanted.size as usize).collect();
    Found { documents, is_end: wanted.page >= last && !switches.never_ends, pageable, total }
}

fn push_document(out: &mut String, found: &StandinPlace, center: Option<LatLng>, drift: Option<Drift>) {
    let place = &found.place;
    let group = place.category_group_code.as_deref().unwrap_or_default();
    push_text(out, "{\"address_name\":", place.address.as_deref().unwrap_or_default());
    push_text(out, ",\"category_group_code\":", group);
    push_text(out, ",\"category_group_name\":", group_name(group));
    push_text(out, ",\"category_name\":", place.category_name.as_deref().unwrap_or_default());
    if drift != Some(Drift::DistanceMissing) {
        out.push_str(",\"distance\":\"");
        if let Some(center) = center {
            push(out, format_args!("{:.0}", center.distance_m(place.position).floor()));
        }
        out.push('"');
    }
    let renumbered = if drift == Some(Drift::IdsRenumbered) { "9" } else { "" };
    push(out, format_args!(",\"id\":\"{renumbered}{}\"", place.id));
    push_text(out, ",\"phone\":", place.phone.as_deref().unwrap_or_default());
    let name = if drift == Some(Drift::FieldRenamed) { ",\"name\":" } else { ",\"place_name\":" };
    push_text(out, name, &place.name);
    push_text(out, ",\"place_url\":", place.url.as_deref().unwrap_or_default());
    push_text(out, ",\"road_address_name\":", place.road_address.as_deref().unwrap_or_default());
    let (x, y) = (place.position.longitude(), place.position.latitude());
    push(out, format_args!(",\"x\":\"{x}\",\"y\":\"{y}\"}}"));
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
        let wanted = wanted(page);
        let asked = Asked { wanted: &wanted, query: wanted.search.query.as_deref(), number: 1 };
        serde_json::from_str(&body(&world(count), asked, switches)).unwrap()
    }

    #[test]
    fn a_document_has_exactly_the_twelve_fields_of_the_api() {
        let mut wanted = wanted(1);
        wanted.search.center = Some(at(37.509, 127.0));

        let asked = Asked { wanted: &wanted, query: Some("카페"), number: 1 };
        let text = body(&world(1), asked, &Switches::default());

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
    fn total_count_counts_all_matches_and_pageable_count_is_limited() {
        let capped = Switches { pageable_cap: 44, ..Switches::default() };

        let meta = answer(812, 1, &Switches::default())["meta"].clone();
        assert_eq!((&meta["total_count"], &meta["pageable_count"]), (&812.into(), &45.into()));
        let last = answer(812, 3, &capped);
        assert_eq!((&last["meta"]["pageable_count"], last["documents"].as_array().unwrap().len()), (&44.into(), 14));
    }

    #[test]
    fn an_empty_result_has_is_end_true() {
        for switches in [Switches::default(), Switches { is_empty: true, ..Switches::default() }] {
            let count = if switches.is_empty { 30 } else { 0 };
            let answer = answer(count, 1, &switches);
            assert!(answer["documents"].as_array().unwrap().is_empty());
            assert_eq!((&answer["meta"]["is_end"], &answer["meta"]["total_count"]), (&true.into(), &0.into()));
        }
    }

    #[test]
    fn never_ends_sets_is_end_to_false() {
        let switches = Switches { never_ends: true, ..Switches::default() };

        assert_eq!(answer(812, 3, &switches)["meta"]["is_end"], false);
    }
}
