//! Answers about known places that are not accepted at once: far moves, lost names, blanked fields.

use insta::assert_snapshot;
use sanggwond::domain::geo::LatLng;
use sanggwond::standin::{Fault, StandinPlace, Switches, World};

use crate::closings::{CHANGES, NONE, crowd};
use crate::support::Stage;
use crate::support::town::places;

/// An answer without a place.
const NOTHING: &str = r#"{"documents":[],"meta":{"is_end":true,"pageable_count":0,"total_count":0,"same_name":null}}"#;

const LAST_RUN: &str = "select concat_ws(' ', status, reason) from crawl_run order by crawl_run_id desc limit 1";
const CONTENT: &str = "select place::text from place order by place_id";

/// The town with some of its places changed.
fn changed(ids: &[u32], change: impl Fn(&mut StandinPlace)) -> World {
    let is_meant = |one: &StandinPlace| ids.iter().any(|id| one.place.id.as_str() == id.to_string());
    let places = places().into_iter().map(|mut one| {
        if is_meant(&one) {
            change(&mut one);
        }
        one
    });
    World::new(places.collect())
}

fn to_seoul_station(one: &mut StandinPlace) {
    one.place.position = LatLng::new(37.5549, 126.9704).unwrap();
}

async fn weeks(world: World, switches: Switches) -> Stage {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(world);
    stage.standin.set(switches);
    stage.crawl().await;
    stage
}

#[tokio::test]
async fn a_move_of_more_than_2_km_is_confirmed_by_a_search_for_the_name() {
    let stage = Stage::small().await;
    stage.crawl().await;
    stage.standin.set_world(changed(&[1], to_seoul_station));
    stage.standin.record(true);

    stage.crawl().await;

    let asked = stage.standin.recorded().iter().filter(|request| request.params["query"] == "가게 1").count();
    assert_eq!(asked, 1);
    assert_eq!(stage.texts(CHANGES).await, ["changed 1"]);
    assert_eq!(stage.texts("select distinct station_name from local_info where id = '1'").await, ["서울역"]);
    assert_eq!(stage.value::<String>(LAST_RUN).await, "succeeded");
    assert_eq!(stage.value::<i64>("select count(*) from place_doubt").await, 0);
}

#[tokio::test]
async fn a_move_of_more_than_2_km_that_the_search_by_name_does_not_confirm_is_discarded() {
    let faults_for = vec![("가게 1".to_owned(), Fault::Body(NOTHING.to_owned()))];
    let stage = weeks(changed(&[1], to_seoul_station), Switches { faults_for, ..Switches::default() }).await;

    assert_eq!(stage.texts(CHANGES).await, NONE);
    assert_eq!(stage.texts("select distinct station_name from local_info where id = '1'").await, ["신촌역"]);
    let seen = "select closed_at, misses from place join place_keyword using (place_id) where place_id = '1'";
    assert_snapshot!(stage.rows(seen).await, @"
    closed_at  misses
    –          0
    ");
    assert_eq!(stage.value::<i64>("select count(*) from place_doubt").await, 0);
}

#[tokio::test]
async fn a_move_of_less_than_2_km_is_stored_without_confirmation() {
    let near = |one: &mut StandinPlace| one.place.position = LatLng::new(37.5560, 126.9372).unwrap();

    let stage = weeks(changed(&[1], near), Switches::default()).await;

    assert_eq!(stage.texts(CHANGES).await, ["changed 1"]);
}

#[tokio::test]
async fn a_lost_name_needs_confirmation_and_a_lost_phone_number_does_not() {
    let nameless = |one: &mut StandinPlace| one.place.name = String::new();
    let stage = weeks(changed(&[1], nameless), Switches::default()).await;
    assert_eq!(stage.texts(CHANGES).await, NONE, "a search for the name does not find it any more");
    assert_eq!(stage.value::<String>("select name from place where place_id = '1'").await, "가게 1");

    let silent = |one: &mut StandinPlace| one.place.phone = None;
    let stage = weeks(changed(&[1, 2], silent), Switches::default()).await;
    assert_eq!(stage.texts(CHANGES).await, ["changed 1", "changed 2"]);
}

#[tokio::test]
async fn many_simultaneous_moves_lost_names_or_empty_fields_need_to_be_accepted_by_hand() {
    let far = |one: &mut StandinPlace| {
        let position = one.place.position;
        // From 서울역 to 신촌역 and back.
        let east = if position.longitude() > 126.95 { -0.0277 } else { 0.0277 };
        let north = if position.longitude() > 126.95 { 0.0055 } else { -0.0055 };
        one.place.position = LatLng::new(position.latitude() + north, position.longitude() + east).unwrap();
    };
    // Some places keep their names, because a page without any name is rejected as a whole.
    let nameless = |one: &mut StandinPlace| {
        if !one.place.id.as_str().ends_with(['0', '5']) {
            one.place.name = String::new();
        }
    };
    let silent = |one: &mut StandinPlace| one.place.phone = None;
    let bare = |one: &mut StandinPlace| (one.place.address, one.place.road_address) = (None, None);
    let changes: [&dyn Fn(&mut StandinPlace); 4] = [&far, &nameless, &silent, &bare];
    for (number, change) in changes.into_iter().enumerate() {
        let stage = Stage::new(crowd(100..140), crate::support::town::STATIONS).await;
        stage.crawl().await;
        let before = stage.texts(CONTENT).await;
        let mut world = crowd(100..140).places().to_vec();
        world.iter_mut().for_each(change);
        stage.standin.set_world(World::new(world));

        stage.program(&["crawl"]).finish().await.expect_code(3);

        let last: String = stage.value(LAST_RUN).await;
        assert!(last.contains("too many known places moved more than 2 km or lost fields"), "{number}: {last}");
        let share = if number == 1 { "카페 32 of 40 (80 %)" } else { "카페 40 of 40 (100 %)" };
        assert!(last.contains(share), "{number}: {last}");
        assert_eq!(stage.texts(CONTENT).await, before, "{number}");
        assert_eq!(stage.texts(CHANGES).await, NONE, "{number}");
        stage.program(&["crawl", "--accept-closings"]).finish().await.expect_code(0);
        let accepted = if number == 1 { 0 } else { 40 };
        assert_eq!(stage.texts(CHANGES).await.len(), accepted, "{number}: a name that is gone cannot be searched for");
    }
}
