//! A small town: three stations, two keywords, and places made by hand.

use sanggwond::domain::geo::LatLng;
use sanggwond::domain::place::{Place, PlaceId};
use sanggwond::standin::{StandinPlace, World};

/// Three stations. Two of them are called 신촌역 and are 800 m apart; the first of these has two lines.
pub(crate) const STATIONS: &str = "\
신촌역,수도권,37.5552,126.9369,2호선
신촌역,수도권,37.5552,126.9371,신안산선
신촌역,수도권,37.5602,126.9430,경의중앙선
서울역,수도권,37.5547,126.9707,1호선
";

/// This many stations, far from each other and from all places.
pub(crate) fn scattered(stations: u32) -> String {
    let station = |n: u32| format!("역{n},수도권,37.5,{},1호선\n", 126.0 + f64::from(n) / 10.0);
    (0..stations).map(station).collect::<Vec<_>>().concat()
}

/// The keywords that are searched for.
pub(crate) const KEYWORDS: [&str; 2] = ["카페", "공원"];

/// A place at a position. Its id is also its rank.
pub(crate) fn place(id: u32, latitude: f64, longitude: f64, keywords: &[&str]) -> StandinPlace {
    let place = Place {
        id: PlaceId::parse(&id.to_string()).unwrap(),
        name: format!("가게 {id}"),
        category_name: Some("음식점 > 카페".to_owned()),
        category_group_code: Some("CE7".to_owned()),
        phone: Some(format!("02-000-{id:04}")),
        address: Some(format!("서울 서대문구 창천동 {id}")),
        road_address: Some(format!("서울 서대문구 신촌로 {id}")),
        position: LatLng::new(latitude, longitude).unwrap(),
        url: Some(format!("http://place.map.kakao.com/{id}")),
    };
    StandinPlace {
        place,
        keywords: keywords.iter().map(|keyword| (*keyword).to_owned()).collect(),
        rank: u64::from(id),
    }
}

/// 20 cafés near the first 신촌역, a park that is also a café halfway between the two, and 5 cafés near 서울역.
pub(crate) fn places() -> Vec<StandinPlace> {
    let sinchon = (1..=20).map(|id| place(id, 37.5552 + f64::from(id) * 1e-4, 126.9370, &["카페"]));
    let seoul = (31..=35).map(|id| place(id, 37.5547, 126.9700 + f64::from(id) * 1e-5, &["카페"]));
    sinchon.chain([place(21, 37.5577, 126.9400, &["공원", "카페"])]).chain(seoul).collect()
}

/// The world of [`places`].
pub(crate) fn world() -> World {
    World::new(places())
}
