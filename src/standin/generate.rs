//! Generates a realistic world around real stations, as a pure function of a recipe.
//!
//! A world has a fixed number of slots, and each slot always contains one place. From one week to the next, the place may close
//! and be replaced by a new one, or get a new phone number, name or position. Every property of a place has its own stream of
//! random numbers, so changing one property does not change the others, or other places.

mod life;
mod site;
mod trade;

use self::life::Life;
use self::site::{Location, Sites};
use self::trade::Trade;
use super::chance::Chance;
use super::world::{StandinPlace, World};
use crate::domain::place::{Place, PlaceId};
use crate::domain::station::Station;

/// The number of places in the demo.
pub const DEMO_PLACES: usize = 60_000;

/// The lowest place id; ids have at least eight digits.
const FIRST_ID: u64 = 10_000_000;

/// The parameters of a generated world, besides the stations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The seed of the random numbers.
    pub seed: u64,
    /// The week, counted from 0. About 2 % of the places change each week.
    pub week: u32,
    /// The number of open places, the same in every week.
    pub places: usize,
}

/// A property with its own stream of random numbers.
#[derive(Clone, Copy, Debug)]
enum Draw {
    Life,
    Trade,
    Location,
    Move,
    Name,
    Phone,
    Address,
    Rank,
    Site,
}

impl World {
    /// Generates the world of a recipe around stations; without stations it is empty.
    #[must_use]
    pub fn generate(recipe: &Recipe, stations: &[Station]) -> World {
        let sites = Sites::around(recipe.seed, stations);
        let slots = if stations.is_empty() { 0 } else { recipe.places as u64 };
        World::new((0..slots).map(|slot| place(recipe, &sites, slot)).collect())
    }
}

fn place(recipe: &Recipe, sites: &Sites, slot: u64) -> StandinPlace {
    let life = Life::of(recipe.seed, slot, recipe.week);
    let draw = |draw: Draw, version: u32| {
        Chance::of(&[recipe.seed, draw as u64, slot, life.generation.into(), version.into()])
    };
    let id = id(slot + u64::from(life.generation) * recipe.places as u64);
    let mut chance = draw(Draw::Trade, 0);
    let trade = Trade::draw(&mut chance);
    let keywords = trade.keywords(&mut chance);
    let category = chance.one_of(trade.categories);
    let Location { site, position, building } = sites.locate(&mut draw(Draw::Location, 0));
    let address = match building {
        // All places in a building have the same address.
        Some(building) => site.address(&mut Chance::of(&[recipe.seed, Draw::Address as u64, building])),
        None => site.address(&mut draw(Draw::Address, 0)),
    };
    let place = Place {
        name: trade.name(&site.stem, &mut draw(Draw::Name, life.names)),
        category_name: Some(category.to_owned()),
        category_group_code: trade.group.map(str::to_owned),
        phone: phone(trade, site.area_code, life.phones > 0, &mut draw(Draw::Phone, life.phones)),
        address: Some(address.by_lot),
        road_address: address.by_road,
        position: (1..=life.moves).fold(position, |at, nth| site::step(at, &mut draw(Draw::Move, nth))),
        url: Some(format!("http://place.map.kakao.com/{id}")),
        id: PlaceId::parse(&id).expect("digits are an id"),
    };
    StandinPlace { place, keywords, rank: draw(Draw::Rank, 0).bits() }
}

/// An id of eight to ten digits, different for every number below 2^31: multiplication by an odd factor modulo 2^31 is a
/// permutation.
fn id(number: u64) -> String {
    (FIRST_ID + (number.wrapping_mul(0x2c1b_3c6d) & 0x7fff_ffff)).to_string()
}

fn phone(trade: &Trade, area_code: &str, is_new: bool, chance: &mut Chance) -> Option<String> {
    if !chance.happens(trade.has_phone) && !is_new {
        return None;
    }
    let (last, middle) = (chance.below(10_000), 200 + chance.below(9_000));
    Some(match chance.below(10) {
        0 | 1 => format!("0507-1{:03}-{last:04}", middle % 1000),
        2 => format!("070-{:04}-{last:04}", middle.max(1000)),
        _ => format!("{area_code}-{middle}-{last:04}"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;
    use crate::domain::geo::{Area, Circle};
    use crate::standin::samples::at;
    use crate::standin::world::Search;

    fn station(name: &str, latitude: f64, longitude: f64) -> Station {
        let position = at(latitude, longitude);
        Station { name: name.to_owned(), region: "수도권".to_owned(), lines: vec!["2호선".to_owned()], position }
    }

    /// A dense grid of thirty stations that includes 강남역, and an isolated station.
    fn stations() -> Vec<Station> {
        let grid = (0..30).map(|number| {
            let (row, column) = (f64::from(number / 6), f64::from(number % 6));
            station(&format!("{number}역"), 37.5 + row * 0.01, 127.0 + column * 0.012)
        });
        grid.chain([station("강남역", 37.4979, 127.0276), station("원덕역", 37.4687, 127.5473)]).collect()
    }

    fn world(seed: u64, week: u32) -> World {
        World::generate(&Recipe { seed, week, places: 5000 }, &stations())
    }

    fn by_id(world: &World) -> BTreeMap<&str, &StandinPlace> {
        world.places().iter().map(|place| (place.place.id.as_str(), place)).collect()
    }

    fn near(world: &World, station: &Station, query: &str) -> usize {
        let area = Some(Area::Circle(Circle { center: station.position, radius_m: 1000 }));
        world.search(&Search { query: Some(query.to_owned()), area, ..Search::default() }).len()
    }

    #[test]
    fn a_world_is_a_function_of_its_seed_and_week() {
        assert_eq!(world(1, 3).places(), world(1, 3).places());
        assert_ne!(world(1, 3).places(), world(2, 3).places());
        assert_ne!(world(1, 3).places(), world(1, 4).places());
    }

    #[test]
    fn two_percent_change_in_a_week() {
        let world = |week| World::generate(&Recipe { seed: 1, week, places: 20_000 }, &stations());

        for week in [0, 1, 7] {
            let (before, after) = (world(week), world(week + 1));
            let (before, after) = (by_id(&before), by_id(&after));
            let closed = before.keys().filter(|id| !after.contains_key(*id)).count();
            let opened = after.keys().filter(|id| !before.contains_key(*id)).count();
            let changed = after.iter().filter(|(id, new)| before.get(*id).is_some_and(|old| old != *new)).count();
            assert_eq!(closed, opened);
            assert!(closed > 50 && changed > 100, "{closed} {changed}");
            assert!((320..480).contains(&(closed + opened + changed)), "{closed} {opened} {changed}");
        }
    }

    #[test]
    fn a_changed_place_keeps_its_keywords_its_rank_and_its_neighbourhood() {
        let (before, after) = (world(1, 0), world(1, 10));
        let after = by_id(&after);

        for (id, old) in by_id(&before) {
            let Some(new) = after.get(id) else { continue };
            assert_eq!((&old.keywords, old.rank), (&new.keywords, new.rank));
            assert!(old.place.position.distance_m(new.place.position) < 300.0);
        }
    }

    #[test]
    fn ids_are_unique_and_have_eight_to_ten_digits() {
        let numbers = (0..300_000).chain(30_000_000..30_300_000);

        let ids: HashSet<String> = numbers.map(id).collect();

        assert_eq!(ids.len(), 600_000);
        assert!(ids.iter().all(|id| (8..=10).contains(&id.len())));
    }

    #[test]
    fn there_are_many_places_around_a_busy_station_and_few_around_an_isolated_one() {
        let (world, stations) = (world(1, 0), stations());

        let [busy, isolated] = [30, 31].map(|index| near(&world, &stations[index], "식당"));

        assert!(busy > 300 && isolated < 20, "{busy} {isolated}");
    }

    #[test]
    fn restaurants_are_common_and_galleries_rare() {
        let world = world(1, 0);
        let count = |query: &str| world.search(&Search { query: Some(query.to_owned()), ..Search::default() }).len();

        let counts = ["식당", "카페", "호프", "헬스클럽", "미술관"].map(count);

        assert!(counts.is_sorted_by(|more, fewer| more > fewer), "{counts:?}");
        for query in ["스터디룸", "도서관", "공원", "미술관", "애견카페", "셀프사진"] {
            assert!(count(query) > 0, "{query}");
        }
    }

    #[test]
    fn one_place_in_ten_has_two_keywords() {
        let world = world(1, 0);

        let double = world.places().iter().filter(|place| place.keywords.len() == 2).count();

        assert!((400..600).contains(&double), "{double}");
    }

    #[test]
    fn some_places_lie_outside_every_radius_and_most_do_not() {
        let (world, stations) = (world(1, 0), stations());
        let is_far = |place: &&StandinPlace| {
            stations.iter().all(|station| station.position.distance_m(place.place.position) > 1300.0)
        };

        let far = world.places().iter().filter(is_far).count();

        assert!((20..500).contains(&far), "{far}");
    }

    #[test]
    fn a_world_without_stations_is_empty() {
        assert!(World::generate(&Recipe { seed: 1, week: 0, places: 10 }, &[]).places().is_empty());
    }
}
