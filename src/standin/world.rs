//! The places of the stand-in, and searches among them.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::ruler;
use super::strips::{Spot, Strips};
use crate::domain::cell::Sort;
use crate::domain::geo::{Area, LatLng};
use crate::domain::keyword::CATEGORY_GROUP_CODES;
use crate::domain::place::Place;

/// A place and the keywords that find it.
#[derive(Clone, Debug, PartialEq)]
pub struct StandinPlace {
    /// The place in the response.
    pub place: Place,
    /// The queries that find it.
    pub keywords: Vec<String>,
    /// Its rank in the order of accuracy; the lowest rank comes first.
    pub rank: u64,
}

/// The parameters of a search.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Search {
    /// A keyword or a name; `None` on the category endpoint, where every place matches.
    pub query: Option<String>,
    /// The category groups to search; empty means all.
    pub groups: Vec<String>,
    /// The area to search; `None` means everywhere.
    pub area: Option<Area>,
    /// The position from which distances are measured.
    pub center: Option<LatLng>,
    /// The order of the results: by rank, or by distance if there is a centre.
    pub sort: Sort,
}

/// All places at one time. A world is immutable; a change creates a new one.
#[derive(Debug, Default)]
pub struct World {
    places: Vec<StandinPlace>,
    everywhere: Strips,
    by_keyword: HashMap<String, Strips>,
    /// Built at the first query that is not a keyword.
    by_name: OnceLock<HashMap<String, Strips>>,
}

/// Places that are missing in all results.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hidden {
    /// Every n-th place of the keyword.
    pub(super) nth: Option<u32>,
    /// Every other place of the world.
    pub(super) is_every_other: bool,
}

/// A match: the sort key and the index of the place in the world.
type Hit = (u64, u32);

impl World {
    /// Indexes the places.
    #[must_use]
    pub fn new(places: Vec<StandinPlace>) -> Self {
        let mut everywhere = Strips::default();
        let mut by_keyword: HashMap<String, Strips> = HashMap::new();
        for (index, found) in (0..).zip(&places) {
            push(&mut everywhere, index, found);
            for keyword in &found.keywords {
                push(entry(&mut by_keyword, keyword), index, found);
            }
        }
        everywhere.sort();
        by_keyword.values_mut().for_each(Strips::sort);
        Self { places, everywhere, by_keyword, by_name: OnceLock::new() }
    }

    /// The places by name.
    fn by_name(&self) -> &HashMap<String, Strips> {
        self.by_name.get_or_init(|| {
            let mut by_name = HashMap::new();
            for (index, found) in (0..).zip(&self.places) {
                push(entry(&mut by_name, &found.place.name), index, found);
            }
            by_name.values_mut().for_each(Strips::sort);
            by_name
        })
    }

    /// The places, in their original order.
    #[must_use]
    pub fn places(&self) -> &[StandinPlace] {
        &self.places
    }

    /// All matches of a search, without the 45-result limit, in the order of the API.
    #[must_use]
    pub fn search(&self, search: &Search) -> Vec<&StandinPlace> {
        self.first(search, usize::MAX, Hidden::default()).1
    }

    /// The number of matches that are not hidden, and the first `count` of them.
    pub(super) fn first(&self, search: &Search, count: usize, hidden: Hidden) -> (usize, Vec<&StandinPlace>) {
        let mut hits = self.hits(search, hidden);
        let total = hits.len();
        if count < total {
            // Only the first matches are sorted; sorting all of them would be most of the cost of a search.
            hits.select_nth_unstable(count);
            hits.truncate(count);
        }
        hits.sort_unstable();
        (total, hits.into_iter().map(|(_, index)| &self.places[index as usize]).collect())
    }

    fn hits(&self, search: &Search, hidden: Hidden) -> Vec<Hit> {
        let strips = match &search.query {
            None => Some(&self.everywhere),
            Some(query) => self.by_keyword.get(query.trim()).or_else(|| self.by_name().get(query.trim())),
        };
        let Some(strips) = strips else { return Vec::new() };
        let groups = search.groups.iter().fold(0, |bits, code| bits | group_bit(code));
        let is_wanted = |spot: &&Spot| {
            (search.groups.is_empty() || spot.group & groups != 0)
                && hidden.nth.is_none_or(|nth| !spot.ordinal.is_multiple_of(nth.max(1)))
                && !(hidden.is_every_other && spot.index.is_multiple_of(2))
        };
        let hit = |spot: &Spot| (sort_key(search, spot), spot.index);
        match search.area {
            None => strips.all().filter(is_wanted).map(hit).collect(),
            Some(Area::Rect(rect)) => {
                let is_inside = |spot: &&Spot| rect.contains(position(spot));
                strips.around(rect).filter(is_wanted).filter(is_inside).map(hit).collect()
            }
            Some(Area::Circle(circle)) => {
                let is_inside = |spot: &&Spot| ruler::is_inside(circle, position(spot));
                strips.around(ruler::frame(circle)).filter(is_wanted).filter(is_inside).map(hit).collect()
            }
        }
    }
}

fn push(strips: &mut Strips, index: u32, found: &StandinPlace) {
    let StandinPlace { place, rank, .. } = found;
    let group = place.category_group_code.as_deref().map_or(0, group_bit);
    strips.push(index, group, place.position, *rank);
}

fn entry<'a>(index: &'a mut HashMap<String, Strips>, key: &str) -> &'a mut Strips {
    // `HashMap::entry` would allocate the key for every place.
    if !index.contains_key(key) {
        index.insert(key.to_owned(), Strips::default());
    }
    index.get_mut(key).expect("it was just inserted")
}

fn sort_key(search: &Search, spot: &Spot) -> u64 {
    match (search.sort, search.center) {
        // The bits of non-negative floats have the same order as the floats.
        (Sort::Distance, Some(center)) => ruler::distance_m(center, position(spot)).to_bits(),
        _ => spot.rank,
    }
}

fn position(spot: &Spot) -> LatLng {
    LatLng::new(spot.latitude, spot.longitude).expect("the coordinates come from a valid position")
}

/// The bit of a category group; 0 for an unknown one.
fn group_bit(code: &str) -> u32 {
    CATEGORY_GROUP_CODES.iter().position(|known| *known == code).map_or(0, |position| 1 << position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geo::{Circle, Rect};
    use crate::standin::samples::{at, place};

    fn ids(found: &[&StandinPlace]) -> Vec<String> {
        found.iter().map(|found| found.place.id.to_string()).collect()
    }

    fn cafe() -> Search {
        Search { query: Some("카페".to_owned()), ..Search::default() }
    }

    #[test]
    fn a_place_on_a_common_border_is_in_both_rectangles() {
        let world = World::new(vec![place("10000001", at(37.5, 127.1))]);
        let west = Rect { west: 127.0, south: 37.4, east: 127.1, north: 37.6 };
        let east = Rect { west: 127.1, south: 37.4, east: 127.2, north: 37.6 };
        let south = Rect { west: 127.0, south: 37.4, east: 127.2, north: 37.5 };

        for rect in [west, east, south] {
            let search = Search { area: Some(Area::Rect(rect)), ..cafe() };
            assert_eq!(world.search(&search).len(), 1, "{rect:?}");
        }
    }

    #[test]
    fn a_search_in_a_circle_finds_the_same_places_as_a_full_scan() {
        let mut chance = crate::standin::chance::Chance::of(&[3]);
        let scattered = (0..2000).map(|number| {
            let position = at(37.5 + chance.between(-0.03, 0.03), 127.0 + chance.between(-0.03, 0.03));
            place(&format!("{}", 10_000_000 + number), position)
        });
        let world = World::new(scattered.collect());

        for radius_m in [0, 300, 1000, 2500, 20_000] {
            let circle = Circle { center: at(37.501, 127.003), radius_m };
            let search = Search { area: Some(Area::Circle(circle)), ..cafe() };
            let scanned = world.places().iter().filter(|place| circle.contains(place.place.position)).count();
            assert_eq!(world.search(&search).len(), scanned, "{radius_m}");
        }
    }

    #[test]
    fn the_first_matches_are_in_the_order_of_all_matches() {
        let near = |number: i32| at(37.5 + f64::from(number * 7 % 100) * 1e-4, 127.0);
        let world =
            World::new((0..100).map(|number| place(&format!("{}", 20_000_000 + number), near(number))).collect());

        for sort in [Sort::Accuracy, Sort::Distance] {
            let search = Search { sort, center: Some(at(37.5, 127.0)), ..cafe() };
            let (total, first) = world.first(&search, 45, Hidden::default());
            assert_eq!(total, 100);
            assert_eq!(ids(&first), ids(&world.search(&search)[..45]));
        }
    }

    #[test]
    fn the_order_by_accuracy_differs_from_the_order_by_distance() {
        let near = |number: i32| at(37.5 + f64::from(number) * 1e-4, 127.0);
        let world =
            World::new((0..50).map(|number| place(&format!("{}", 20_000_000 + number), near(number))).collect());
        let by_distance = Search { sort: Sort::Distance, center: Some(at(37.5, 127.0)), ..cafe() };

        let nearest = ids(&world.search(&by_distance));

        assert!(nearest.is_sorted());
        assert!(!ids(&world.search(&cafe())).is_sorted());
    }

    #[test]
    fn a_place_is_found_by_its_name_as_well_as_by_its_keywords() {
        let world = World::new(vec![place("10000001", at(37.5, 127.0))]);
        let named = |query: &str| world.search(&Search { query: Some(query.to_owned()), ..Search::default() }).len();

        assert_eq!((named("빵&커피"), named("카페"), named("빵")), (1, 1, 0));
    }

    #[test]
    fn category_groups_limit_a_search() {
        let mut study = place("10000002", at(37.5, 127.0));
        study.place.category_group_code = None;
        let world = World::new(vec![place("10000001", at(37.5, 127.0)), study]);
        let with = |groups: &[&str]| {
            let groups = groups.iter().map(|code| (*code).to_owned()).collect();
            world.search(&Search { groups, query: None, ..cafe() }).len()
        };

        assert_eq!((with(&[]), with(&["CE7"]), with(&["FD6"]), with(&["FD6", "CE7"])), (2, 1, 0, 1));
    }

    #[test]
    fn thin_out_removes_every_nth_place_of_a_keyword() {
        let world =
            World::new((0..10).map(|number| place(&format!("{}", 30_000_000 + number), at(37.5, 127.0))).collect());

        let (total, found) = world.first(&cafe(), 45, Hidden { nth: Some(5), ..Hidden::default() });

        assert_eq!(total, 8);
        assert!(!ids(&found).contains(&"30000004".to_owned()));
    }
}
