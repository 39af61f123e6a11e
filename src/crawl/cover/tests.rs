//! Tests of the planner: for any circles and places, no place is left out, and no rectangle is too large or too full.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::domain::churn::Churn;

/// Maximum number of places that are planned for one rectangle.
const MOST: usize = 45;

fn requests() -> Requests {
    Requests::after(Churn::default())
}

fn crowd(total: usize, known: Vec<LatLng>) -> Crowd {
    Crowd { total, known, others: Vec::new() }
}

fn at(latitude: f64, longitude: f64) -> LatLng {
    LatLng::new(latitude, longitude).unwrap()
}

fn circle(latitude: f64, longitude: f64, radius_m: u32) -> Circle {
    Circle { center: at(latitude, longitude), radius_m }
}

/// Positions a few metres apart.
fn building(count: u32, step_degrees: f64) -> Vec<LatLng> {
    let place = |n: u32| at(37.5 + f64::from(n / 20) * step_degrees, 127.0 + f64::from(n % 20) * step_degrees);
    (0..count).map(place).collect()
}

fn count(rect: Rect, places: &[LatLng]) -> usize {
    places.iter().filter(|place| rect.grown().contains(**place)).count()
}

#[test]
fn a_lonely_circle_is_one_rectangle_around_it() {
    let circle = circle(37.5, 127.0, 1000);

    let rects = Circles::new([circle]).cover(Vec::new(), &requests());

    assert_eq!(rects.len(), 1);
    assert!((2000.0..2020.0).contains(&rects[0].width_m()), "{} m", rects[0].width_m());
    assert!((2000.0..2030.0).contains(&rects[0].height_m()), "{} m", rects[0].height_m());
}

#[test]
fn a_large_ground_is_covered_by_few_rectangles_of_20_km_at_most() {
    let circles: Vec<Circle> =
        (0..100).map(|n| circle(37.0 + f64::from(n / 10) * 0.05, 127.0 + f64::from(n % 10) * 0.05, 4000)).collect();

    let rects = Circles::new(circles).cover(Vec::new(), &requests());

    assert!(rects.len() <= 16, "{}", rects.len());
    assert!(rects.iter().all(|rect| rect.grown().width_m() <= 20_000.0 && rect.grown().height_m() <= 20_000.0));
}

#[test]
fn known_places_fill_the_rectangles() {
    let scattered = |n: i32, factor: f64| (f64::from(n) * factor).fract() * 0.05;
    let places: Vec<LatLng> =
        (0..3000).map(|n| at(37.5 + scattered(n, 0.754_877_666), 127.0 + scattered(n, 0.569_840_291))).collect();

    let rects = Circles::new([circle(37.53, 127.005, 20_000)]).cover(places.clone(), &requests());

    let pages: usize = rects.iter().map(|rect| count(*rect, &places).div_ceil(15).max(1)).sum();
    assert!(rects.iter().all(|rect| count(*rect, &places) <= MOST));
    assert!(pages * 15 < places.len() * 110 / 100, "{pages} pages for {} places", places.len());
}

#[test]
fn three_hundred_places_some_metres_apart_are_told_apart() {
    let places = building(300, 3e-5);

    let rects = Circles::new([circle(37.5, 127.0, 1000)]).cover(places.clone(), &requests());

    assert!(rects.iter().all(|rect| count(*rect, &places) <= MOST));
    assert!(rects.len() <= 16, "{}", rects.len());
}

#[test]
fn a_heap_at_one_spot_is_cut_out_of_its_surroundings() {
    let mut places = vec![at(37.5, 127.0); 300];
    places.extend(building(40, 1e-4).into_iter().skip(1));

    let rects = Circles::new([circle(37.5, 127.0, 1000)]).cover(places.clone(), &requests());

    let full: Vec<&Rect> = rects.iter().filter(|rect| count(**rect, &places) > MOST).collect();
    assert_eq!(full.len(), 1);
    assert!(
        is_tiny(*full[0])
            && Circles::new([circle(37.5, 127.0, 1000)])
                .split(*full[0], crowd(300, Vec::new()), &requests())
                .is_empty()
    );
    assert!(rects.len() <= 8, "{}", rects.len());
}

#[test]
fn a_cluster_that_cannot_be_divided_does_not_keep_the_rest_in_one_piece() {
    let circles: Vec<Circle> =
        (0..144).map(|n| circle(37.0 + f64::from(n / 12) * 0.05, 127.0 + f64::from(n % 12) * 0.06, 4000)).collect();
    let jitter = |n: u32| at(37.3 + f64::from(n % 8) * 1.7e-6, 127.3 + f64::from(n / 8) * 1.5e-6);

    let rects = Circles::new(circles).cover((0..60).map(jitter).collect(), &requests());

    assert!(rects.iter().all(|rect| rect.grown().width_m() <= 20_000.0 && rect.grown().height_m() <= 20_000.0));
    let full = rects.iter().filter(|rect| rect.grown().contains(at(37.3, 127.3)));
    assert_eq!(full.count(), 1, "it is cut out, not cut through");
}

#[test]
fn nine_hundred_hits_are_not_halved_five_times_in_a_row() {
    let ground = Circles::new([circle(37.5, 127.0, 1000)]);
    let rect = ground.cover(Vec::new(), &requests())[0];

    let pieces = ground.split(rect, crowd(900, Vec::new()), &requests());

    assert!((20..=40).contains(&pieces.len()), "{} pieces", pieces.len());
}

/// The example by hand. Nothing changes from week to week, so only full pages count:
///
/// ```text
///   west  oooooooooo oooooooooo            oooooooooo | oooooooooo oooooooooo oooooooooo  east
///         20 places, 10 m apart    700 m   10         |cut             30
/// ```
///
/// The 60 places do not fit into one rectangle. A cut through the wide gap would leave 20 and 40 places, 2 + 3 pages. This
/// one leaves 30 and 30, 2 + 2 pages.
#[test]
fn a_plan_drawn_by_hand() {
    let east_of = |start: f64, count: u32| (0..count).map(move |n| at(37.5, start + f64::from(n) * 1.13e-4));
    let places: Vec<LatLng> = east_of(126.992, 20).chain(east_of(127.002, 40)).collect();
    let unchanged = Requests::after(Churn { gone: 0.0, new: 0.0 });

    let rects = Circles::new([circle(37.5, 127.0, 1000)]).cover(places.clone(), &unchanged);

    assert_eq!(rects.iter().map(|rect| count(*rect, &places)).collect::<Vec<_>>(), [30, 30]);
    let cut = f64::midpoint(places[29].longitude(), places[30].longitude());
    assert!((rects[0].east - cut).abs() < 1e-9 && (rects[1].west - cut).abs() < 1e-9);
}

/// Four groups of places, 500 m apart, which were planned by hand by somebody who knew only the comments:
///
/// ```text
///              12
///
///      20      25      30
/// ```
///
/// If nothing changes, one cut leaves 75 and 12 places, and the next one 45 and 30: 3 + 2 + 1 full pages. With the usual
/// churn a rectangle with 45 places is expensive, so a single cut through the lower groups leaves 43 and 44.
#[test]
fn another_plan_drawn_by_hand() {
    let group = |east_m: f64, north_m: f64, columns: u32, rows: u32| {
        let offset = |number: u32, count: u32| (f64::from(number) - f64::from(count - 1) / 2.0) * 10.0;
        (0..columns).flat_map(move |column| (0..rows).map(move |row| (column, row))).map(move |(column, row)| {
            let (east_m, north_m) = (east_m + offset(column, columns), north_m + offset(row, rows));
            at(37.5 + north_m / 110_996.0, 127.0 + east_m / 88_480.0)
        })
    };
    let groups = [group(-500.0, 0.0, 5, 4), group(0.0, 0.0, 5, 5), group(500.0, 0.0, 6, 5), group(0.0, 500.0, 4, 3)];
    let places: Vec<LatLng> = groups.into_iter().flatten().collect();
    let town = Circles::new([circle(37.5, 127.0, 1000)]);
    let planned = |churn| {
        let rects = town.cover(places.clone(), &Requests::after(churn));
        rects.into_iter().map(|rect| count(rect, &places)).collect::<Vec<_>>()
    };

    assert_eq!(planned(Churn { gone: 0.0, new: 0.0 }), [45, 30, 12]);
    assert_eq!(planned(Churn::default()), [43, 44]);
}

#[test]
fn circles_with_few_places_share_a_rectangle() {
    let circles = [127.0, 127.08, 127.16].map(|longitude| circle(37.5, longitude, 1000));
    let places = [127.0, 127.0801, 127.1602].map(|longitude| at(37.5, longitude)).to_vec();

    let rects = Circles::new(circles).cover(places, &requests());

    assert_eq!(rects.len(), 1);
}

#[test]
fn an_estimate_follows_the_places_of_other_keywords() {
    let ground = Circles::new([circle(37.5, 127.0, 1000)]);
    let rect = ground.cover(Vec::new(), &requests())[0];
    let others: Vec<LatLng> =
        (0..400).map(|n| at(37.5 + f64::from(n / 20) * 1e-4, 127.0 + f64::from(n % 20) * 1e-4)).collect();

    let pieces = ground.split(rect, Crowd { total: 400, known: Vec::new(), others: others.clone() }, &requests());

    let crowded = pieces.iter().filter(|piece| count(**piece, &others) > 0).count();
    assert!(crowded * 3 > pieces.len() * 2, "{crowded} of {}", pieces.len());
}

prop_compose! {
    fn circles()(
        radius_m in prop_oneof![1..50_u32, 900..1100_u32, 5_000..20_000_u32],
        centers in vec((33.0..38.6_f64, 126.0..129.6_f64, any::<bool>()), 1..12),
    ) -> Vec<Circle> {
        // About half of the centres lie close to the one before, so that circles overlap.
        let mut last = (centers[0].0, centers[0].1);
        centers.into_iter().map(|(latitude, longitude, is_near)| {
            last = if is_near { (last.0 + (latitude - 36.0) / 300.0, last.1 + (longitude - 128.0) / 300.0) } else { (latitude, longitude) };
            circle(last.0, last.1, radius_m)
        }).collect()
    }
}

/// A position in a circle, at a share of the radius and at a share of the full turn.
fn inside(circle: Circle, (share, turn): (f64, f64)) -> LatLng {
    let (rise, run) = (f64::from(circle.radius_m) / 111_500.0, f64::from(circle.radius_m) / 111_500.0 / 0.84);
    let (east, north) = (turn * std::f64::consts::TAU).sin_cos();
    at(circle.center.latitude() + north * share * rise, circle.center.longitude() + east * share * run)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_point_inside_a_circle_is_covered(circles in circles(), points in vec((0.0..1.0_f64, 0.0..1.0_f64), 1..200), share in 0.0..0.3_f64) {
        let places: Vec<LatLng> = points.iter().zip(circles.iter().cycle()).map(|(point, circle)| inside(*circle, *point)).collect();

        let rects = Circles::new(circles.clone()).cover(places.clone(), &Requests::after(Churn { gone: share / 2.0, new: share }));

        for place in places.iter().filter(|place| circles.iter().any(|circle| circle.contains(**place))) {
            prop_assert!(rects.iter().any(|rect| rect.contains(*place)), "{place} is lost");
        }
        for rect in rects {
            prop_assert!(rect.grown().width_m() <= 20_000.0 && rect.grown().height_m() <= 20_000.0);
            prop_assert!(Circles::new(circles.clone()).touches(rect));
        }
    }

    #[test]
    fn pieces_cover_what_the_whole_covers(circles in circles(), points in vec((0.0..1.0_f64, 0.0..1.0_f64), 1..100), total in 46..5000_usize, known in any::<bool>(), others in any::<bool>()) {
        let ground = Circles::new(circles.clone());
        let places: Vec<LatLng> = points.iter().zip(circles.iter().cycle()).map(|(point, circle)| inside(*circle, *point)).collect();

        for rect in ground.cover(Vec::new(), &requests()) {
            let shown = if known { places.iter().copied().filter(|place| rect.contains(*place)).collect() } else { Vec::new() };
            let others = if others { places.clone() } else { Vec::new() };
            let pieces = ground.split(rect, Crowd { total, known: shown, others }, &requests());
            prop_assert!(pieces.len() >= 2 || is_tiny(rect) || pieces.iter().all(|piece| longer(*piece).1 < longer(rect).1));
            for place in places.iter().filter(|place| rect.contains(**place) && circles.iter().any(|circle| circle.contains(**place))) {
                prop_assert!(pieces.is_empty() || pieces.iter().any(|piece| piece.contains(*place)), "{place} is lost");
            }
        }
    }

    #[test]
    fn circles_lie_within_their_ellipses(latitude in -85.0..85.0_f64, radius_m in 1..20_000_u32, share in 0.9..1.1_f64, turn in 0.0..1.0_f64) {
        let circle = circle(latitude, 127.0, radius_m);
        let run = f64::from(radius_m) / 111_500.0 / latitude.to_radians().cos();
        let (east, north) = (turn * std::f64::consts::TAU).sin_cos();
        let position = at((latitude + north * share * f64::from(radius_m) / 111_000.0).clamp(-90.0, 90.0), 127.0 + east * share * run);

        prop_assert!(!circle.contains(position) || Disk::around(circle).contains(position));
    }
}
