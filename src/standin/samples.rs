//! Places for the tests of this module.

use super::chance::Chance;
use super::world::StandinPlace;
use crate::domain::geo::LatLng;
use crate::domain::place::{Place, PlaceId};

/// A position.
pub(super) fn at(latitude: f64, longitude: f64) -> LatLng {
    LatLng::new(latitude, longitude).unwrap()
}

/// A café.
pub(super) fn place(id: &str, position: LatLng) -> StandinPlace {
    let place = Place {
        id: PlaceId::parse(id).unwrap(),
        name: "빵&커피".to_owned(),
        category_name: Some("음식점 > 카페".to_owned()),
        category_group_code: Some("CE7".to_owned()),
        phone: None,
        address: Some("서울 강남구 역삼동 1-1".to_owned()),
        road_address: None,
        position,
        url: Some(format!("http://place.map.kakao.com/{id}")),
    };
    StandinPlace { place, keywords: vec!["카페".to_owned()], rank: Chance::of(&[id.parse().unwrap()]).bits() }
}
