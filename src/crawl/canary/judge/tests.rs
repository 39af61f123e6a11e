//! Answers as the API gives them, and as it might.

use std::time::Duration;

use super::*;
use crate::domain::cell::Rejected;
use crate::domain::keyword::Keyword;
use crate::domain::language::Language;
use crate::kakao::Form;

const CENTER: (f64, f64) = (37.5, 127.0);

fn center() -> LatLng {
    LatLng::new(CENTER.0, CENTER.1).unwrap()
}

/// A place so many metres north of the centre.
fn place(id: usize, north_m: f64) -> Place {
    Place {
        id: PlaceId::parse(&id.to_string()).unwrap(),
        name: format!("가게 {id}"),
        category_name: None,
        category_group_code: None,
        phone: None,
        address: None,
        road_address: None,
        position: LatLng::new(CENTER.0 + north_m / 111_000.0, CENTER.1).unwrap(),
        url: None,
    }
}

/// Places at 10 m, 20 m, and so on.
fn places(ids: std::ops::RangeInclusive<usize>) -> Vec<Place> {
    ids.map(|id| place(id, 10.0 * f64::from(u32::try_from(id).unwrap()))).collect()
}

fn page(places: Vec<Place>, total_count: u32) -> Page {
    let distances_m = places.iter().map(|place| Some(center().distance_m(place.position).floor())).collect();
    Page {
        meta: Meta { total_count, pageable_count: total_count.min(45), is_end: false },
        documents: places.len(),
        places,
        rejected: Rejected::default(),
        form: Some(Form { distances_m, ..Form::default() }),
    }
}

fn circle(radius_m: u32) -> Circle {
    Circle { center: center(), radius_m }
}

fn subject(known: usize) -> Subject {
    Subject {
        keyword: Keyword::new("카페", None).unwrap(),
        near: "서울역".to_owned(),
        circle: circle(1000),
        known: (1..=known).map(|id| PlaceId::parse(&id.to_string()).unwrap()).collect(),
        named: Vec::new(),
        radius_m: 1000,
        coverage: Coverage::Complete,
        page_delay: Duration::ZERO,
    }
}

/// The consequence of a finding, whose text has a Korean one.
fn follows(finding: impl IntoIterator<Item = Finding>) -> Option<Consequence> {
    finding.into_iter().next().map(|finding| {
        let korean = Language::Korean.say(&finding.text);
        assert!(korean.chars().any(|c| ('가'..='힣').contains(&c)), "{}", finding.text);
        finding.consequence
    })
}

#[test]
fn a_good_answer_has_no_finding() {
    let first = page(places(1..=15), 20);

    assert_eq!(fields(&first), []);
    assert_eq!(radius(&first, circle(1000), Coverage::Station), None);
    assert_eq!(distances(&first, center()), None);
    assert_eq!(repeats(2, &first.places, &page(places(16..=20), 20)), None);
    assert_eq!(known(&subject(20), 20, &places(1..=20)), None);
    assert_eq!(count(&[20, 20, 20]), None);
    assert_eq!(parameter(&[20, 20], &Ok(page(places(1..=15), 20))), None);
    assert_eq!(sorted(center(), &Ok(page(places(1..=15), 20))), None);
    assert_eq!(limit(Meta { total_count: 812, pageable_count: 45, is_end: false }), None);
    assert_eq!(limit(Meta { total_count: 812, pageable_count: 44, is_end: false }), None, "recorded");
    assert_eq!(limit(Meta { total_count: 20, pageable_count: 20, is_end: false }), None);
}

#[test]
fn a_run_without_a_stored_field_is_refused_and_one_without_another_warns() {
    let with = |form: Form| follows(fields(&Page { form: Some(form), ..page(places(1..=3), 3) }));

    assert_eq!(with(Form { missing: vec!["phone"], ..Form::default() }), Some(Consequence::NoRun));
    let two = Page { form: Some(Form { missing: vec!["phone"], ..Form::default() }), ..page(places(1..=2), 2) };
    assert_eq!(fields(&two), [], "two documents say nothing about all of them");
    assert_eq!(with(Form { missing_others: vec!["distance"], ..Form::default() }), Some(Consequence::Warning));
    assert_eq!(with(Form { missing_in_some: vec!["phone"], ..Form::default() }), Some(Consequence::Warning));
    assert_eq!(with(Form { numbers: vec!["x", "y"], ..Form::default() }), Some(Consequence::Warning));
}

#[test]
fn distances_are_compared_with_those_that_are_measured() {
    let with = |distance: fn(f64) -> Option<f64>| {
        let mut page = page(places(1..=15), 15);
        let form = page.form.as_mut().unwrap();
        form.distances_m = form.distances_m.iter().map(|told| distance(told.unwrap())).collect();
        follows(distances(&page, center()))
    };

    assert_eq!(with(Some), None);
    assert_eq!(with(|_| None), Some(Consequence::Warning));
    assert_eq!(with(|metres| Some(metres / 1000.0)), Some(Consequence::Warning), "kilometres");
}

#[test]
fn a_circle_that_does_not_bound_the_result_refuses_a_run_by_station() {
    let outside = page(places(1..=15), 15);
    assert_eq!(radius(&outside, circle(118), Coverage::Station), None, "three strays of fifteen");
    assert_eq!(radius(&page(places(15..=15), 1), circle(100), Coverage::Station), None, "a stray that is alone");

    assert_eq!(follows(radius(&outside, circle(100), Coverage::Station)), Some(Consequence::NoRun));
    assert_eq!(follows(radius(&outside, circle(100), Coverage::Complete)), Some(Consequence::NoClosings));
}

#[test]
fn a_later_page_must_show_something_new() {
    let shown = places(1..=15);

    assert_eq!(follows(repeats(2, &shown, &page(places(1..=15), 20))), Some(Consequence::NoClosings));
    assert_eq!(follows(repeats(2, &shown, &page(Vec::new(), 20))), Some(Consequence::NoClosings));
    assert_eq!(follows(repeats(2, &shown, &page(places(15..=16), 20))), None, "one of them is new");
}

#[test]
fn known_places_must_come_back_and_not_many_more_than_are_known() {
    let of = |known_places, counted, shown| follows(known(&subject(known_places), counted, &places(1..=shown)));

    assert_eq!(of(28, 28, 19), None, "nine of them may have closed; but only 19 were shown of 28");
    assert_eq!(of(28, 19, 19), None);
    assert_eq!(of(28, 18, 18), Some(Consequence::NoClosings));
    assert_eq!(of(9, 0, 0), None, "too few to tell");
    assert_eq!(of(10, 0, 0), Some(Consequence::NoClosings));
    assert_eq!(of(28, 62, 45), None, "a new building");
    assert_eq!(of(28, 63, 45), Some(Consequence::NoOpenings));
    assert_eq!(of(0, 300, 45), None, "nothing is known");
}

#[test]
fn a_count_that_wobbles_holds_closings_and_a_place_that_opened_just_now_does_not() {
    assert_eq!(follows(count(&[20, 24])), Some(Consequence::NoClosings));
    assert_eq!(follows(count(&[20, 24, 20])), Some(Consequence::NoClosings));
    assert_eq!(follows(count(&[20, 21])), Some(Consequence::Warning));
    assert_eq!(follows(count(&[100, 104])), Some(Consequence::Warning));
    assert_eq!(follows(count(&[0, u32::MAX])), Some(Consequence::NoClosings), "whatever the API counts");
    assert_eq!(follows(count(&[u32::MAX, u32::MAX - 1])), Some(Consequence::Warning));
}

#[test]
fn a_parameter_that_is_not_known_must_change_nothing() {
    let other = Ok(page(places(1..=3), 3));

    assert_eq!(follows(parameter(&[20, 20], &other)), Some(Consequence::Warning));
    assert_eq!(follows(parameter(&[20, 24], &other)), None, "the count wobbles anyway");
    assert_eq!(follows(parameter(&[20], &Err("400: unknown".to_owned()))), Some(Consequence::Warning));
}

#[test]
fn places_that_do_not_come_by_distance_hold_closings() {
    let mut shuffled = places(1..=15);
    shuffled.swap(2, 9);

    assert_eq!(follows(sorted(center(), &Ok(page(shuffled, 15)))), Some(Consequence::NoClosings));
    assert_eq!(follows(sorted(center(), &Err("400: sort".to_owned()))), Some(Consequence::NoClosings));
    assert_eq!(follows(sorted(center(), &Ok(page(Vec::new(), 0)))), None);
}

#[test]
fn a_rectangle_must_bound_the_result_and_show_what_is_inside() {
    let positions: Vec<LatLng> = places(1..=20).iter().map(|place| place.position).collect();
    let south = half(circle(1000), &positions);
    let inside = positions.iter().filter(|position| south.contains(**position)).count();
    let of = |places: Vec<Place>, total| follows(rect(south, inside, &Ok(page(places, total)), Coverage::Complete));

    assert_eq!(inside, 10, "all places have the same longitude, so the southern half");
    assert_eq!(of(places(1..=10), 10), None);
    assert_eq!(of(places(1..=8), 8), None, "two may have closed");
    assert_eq!(of(places(1..=15), 20), Some(Consequence::ByStation));
    assert_eq!(of(Vec::new(), 0), Some(Consequence::ByStation));
    let rejected = rect(south, inside, &Err("400: rect".to_owned()), Coverage::Station);
    assert_eq!(follows(rejected), Some(Consequence::Warning), "a run by station needs no rectangle");
    assert_eq!(half(circle(1000), &[]), half(circle(1000), &[center()]), "nothing to halve");
}

#[test]
fn a_rectangle_contains_the_western_half() {
    let east = |number: u32| LatLng::new(CENTER.0, CENTER.1 + f64::from(number) * 1e-3).unwrap();
    let positions: Vec<LatLng> = (0..4).map(east).collect();

    let west = half(circle(1000), &positions);

    assert_eq!(
        positions.iter().map(|position| west.contains(*position)).collect::<Vec<_>>(),
        [true, true, false, false]
    );
}

#[test]
fn another_limit_is_only_a_warning() {
    let with = |total_count, pageable_count| follows(limit(Meta { total_count, pageable_count, is_end: false }));

    assert_eq!(with(812, 30), Some(Consequence::Warning));
    assert_eq!(with(812, 100), Some(Consequence::Warning));
    assert_eq!(with(60, 60), Some(Consequence::Warning));
}

#[test]
fn places_with_other_ids_refuse_the_run() {
    let known: Vec<NamedPlace> =
        places(1..=3).into_iter().map(|Place { id, name, position, .. }| NamedPlace { id, name, position }).collect();
    let asked = |found: [fn(Place) -> Vec<Place>; 3]| {
        let answers = known.iter().zip(places(1..=3)).zip(found).map(|((known, place), found)| (known, found(place)));
        follows(names(&answers.collect::<Vec<_>>()))
    };
    let there = |place| vec![place];
    let gone = |_| Vec::new();
    let other = |place: Place| vec![Place { id: PlaceId::parse("99").unwrap(), ..place }];
    let far = |asked: Place| {
        vec![Place { id: PlaceId::parse("99").unwrap(), ..place(1, 500.0) }]
            .into_iter()
            .map(|shop| Place { name: asked.name.clone(), ..shop })
            .collect()
    };

    assert_eq!(asked([there, there, there]), None);
    assert_eq!(asked([there, gone, gone]), None, "places close");
    assert_eq!(asked([gone, gone, gone]), Some(Consequence::NoClosings));
    assert_eq!(asked([there, there, other]), Some(Consequence::Warning), "registered anew");
    assert_eq!(asked([there, other, other]), Some(Consequence::NoRun));
    assert_eq!(asked([there, there, far]), None, "another shop of the chain");
    assert_eq!(follows(names(&[])), None);
}
