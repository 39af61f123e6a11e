//! What the pages of a cell prove. A cell counts as complete only if its pages prove it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Meta, Rejected};
use crate::domain::geo::{Area, GROWTH, Rect};
use crate::domain::place::{Place, PlaceId};

/// How much of the matches the API showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All of them, which is proven. Only in such a cell does a known place that was not found count as missing.
    All,
    /// Not proven: another number of places than the API counted, a count that changed, a rejected document, or a place
    /// outside the area.
    Short,
    /// Truncated by the API's 45-result limit.
    Truncated,
}

/// The pages of a cell read so far, and what they prove.
#[derive(Clone, Debug)]
pub struct Evidence {
    area: Area,
    /// The distinct places, and the index of each id.
    places: Vec<Place>,
    by_id: HashMap<PlaceId, usize>,
    /// The rejected documents of the last reading of the whole area.
    rejected: Rejected,
    total_count: u32,
    pages: u32,
    is_truncated: bool,
    is_outside: bool,
    is_doubtful: bool,
}

impl Evidence {
    /// The evidence for an area before its first page.
    #[must_use]
    pub fn of(area: Area) -> Self {
        Self {
            area,
            places: Vec::new(),
            by_id: HashMap::new(),
            rejected: Rejected::default(),
            total_count: 0,
            pages: 0,
            is_truncated: false,
            is_outside: false,
            is_doubtful: false,
        }
    }

    /// Adds a page.
    pub fn add(&mut self, meta: Meta, places: Vec<Place>, rejected: Rejected) {
        self.is_doubtful |= self.pages > 0 && meta.total_count != self.total_count;
        self.is_outside |= rejected.outside > 0 || places.iter().any(|place| !self.holds(place));
        self.is_doubtful |= self.is_outside;
        self.is_truncated |= meta.is_truncated();
        self.total_count = meta.total_count;
        self.pages += 1;
        self.rejected += rejected;
        self.take(places);
    }

    /// Adds another reading of the same area. If it alone proves everything, it replaces the earlier one and ends the doubt.
    /// Otherwise the places of both are kept and prove nothing: between two incomplete readings one place may have appeared
    /// and another one disappeared.
    pub fn join(&mut self, other: Self) {
        self.is_doubtful = other.shown() != Shown::All;
        self.is_outside = other.is_outside;
        self.total_count = other.total_count;
        self.rejected = other.rejected;
        self.pages += other.pages;
        self.is_truncated |= other.is_truncated;
        if self.is_doubtful {
            self.take(other.places);
        } else {
            (self.places, self.by_id) = (other.places, other.by_id);
        }
    }

    /// Adds the places that the same search showed in another order. A different count makes the evidence doubtful.
    pub fn extend(&mut self, part: Self) {
        self.is_doubtful |= part.total_count != self.total_count;
        self.collect(part);
    }

    /// Adds the places of a narrower search, whose count is not compared.
    pub fn collect(&mut self, part: Self) {
        self.pages += part.pages;
        self.is_doubtful |= part.is_doubtful;
        self.take(part.places);
    }

    /// Keeps each place once, with its latest content.
    fn take(&mut self, places: Vec<Place>) {
        for place in places {
            match self.by_id.entry(place.id.clone()) {
                Entry::Occupied(known) => self.places[*known.get()] = place,
                Entry::Vacant(new) => {
                    new.insert(self.places.len());
                    self.places.push(place);
                }
            }
        }
    }

    /// Whether a page was truncated.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    /// Whether the last reading returned a place outside the requested area.
    #[must_use]
    pub fn is_outside(&self) -> bool {
        self.is_outside
    }

    /// Whether a place lies outside the requested area, the count changed between pages, or a second reading was incomplete.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Whether at least as many documents were read as the API counted, rejected ones included.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.places.len() + self.rejected.documents as usize >= self.total_count as usize
    }

    /// What the pages prove.
    #[must_use]
    pub fn shown(&self) -> Shown {
        if self.places.len() == self.total_count as usize && self.rejected.documents == 0 && !self.is_doubtful {
            Shown::All
        } else if self.is_truncated && !self.is_whole() {
            Shown::Truncated
        } else {
            Shown::Short
        }
    }

    /// Matches that the API counted last.
    #[must_use]
    pub fn total_count(&self) -> u32 {
        self.total_count
    }

    /// Pages that were read.
    #[must_use]
    pub fn pages(&self) -> u32 {
        self.pages
    }

    /// The distinct places so far.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Approximate memory of the places, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.places.iter().map(Place::size_bytes).sum()
    }

    /// The distinct places and the rejected documents.
    #[must_use]
    pub fn into_places(self) -> (Vec<Place>, Rejected) {
        (self.places, self.rejected)
    }

    /// Whether a place lies in the area, or at most about 1 m outside it.
    fn holds(&self, place: &Place) -> bool {
        match self.area {
            Area::Circle(circle) => circle.center.distance_m(place.position) <= f64::from(circle.radius_m) + 1.0,
            Area::Rect(Rect { west, south, east, north }) => {
                let around =
                    Rect { west: west - GROWTH, south: south - GROWTH, east: east + GROWTH, north: north + GROWTH };
                around.contains(place.position)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::geo::LatLng;

    const RECT: Rect = Rect { west: 127.0, south: 37.5, east: 127.1, north: 37.6 };

    fn places(ids: impl IntoIterator<Item = u32>) -> Vec<Place> {
        let place = |id: u32| Place {
            id: PlaceId::parse(&id.to_string()).unwrap(),
            name: String::new(),
            category_name: None,
            category_group_code: None,
            phone: None,
            address: None,
            road_address: None,
            position: LatLng::new(37.55, 127.05).unwrap(),
            url: None,
        };
        ids.into_iter().map(place).collect()
    }

    fn meta(total_count: u32) -> Meta {
        Meta { total_count, pageable_count: total_count.min(45), is_end: false }
    }

    fn evidence(pages: impl IntoIterator<Item = (u32, Vec<Place>)>) -> Evidence {
        let mut evidence = Evidence::of(Area::Rect(RECT));
        for (total_count, places) in pages {
            evidence.add(meta(total_count), places, Rejected::default());
        }
        evidence
    }

    #[test]
    fn a_search_is_complete_if_it_returns_as_many_places_as_every_page_counts() {
        assert_eq!(evidence([(0, vec![])]).shown(), Shown::All);
        assert_eq!(evidence([(20, places(0..15)), (20, places(15..20))]).shown(), Shown::All);
    }

    #[test]
    fn a_place_that_comes_twice_counts_once() {
        assert_eq!(evidence([(20, places(0..15)), (20, places(14..19))]).shown(), Shown::Short);
    }

    #[test]
    fn a_count_that_changes_between_pages_prevents_a_proof_of_completeness() {
        assert_eq!(evidence([(21, places(0..15)), (20, places(15..21))]).shown(), Shown::Short);
    }

    #[test]
    fn a_rejected_document_prevents_a_proof_of_completeness() {
        let mut evidence = Evidence::of(Area::Rect(RECT));
        evidence.add(meta(3), places(0..2), Rejected::one("place 1: no position"));

        assert!(evidence.is_whole());
        assert_eq!(evidence.shown(), Shown::Short);
    }

    #[test]
    fn a_place_outside_the_area_prevents_a_proof_of_completeness() {
        let mut far = places(0..1);
        far[0].position = LatLng::new(37.55, 127.100_02).unwrap();

        assert_eq!(evidence([(1, far.clone())]).shown(), Shown::Short);
        far[0].position = LatLng::new(37.55, 127.100_009).unwrap();
        assert_eq!(evidence([(1, far)]).shown(), Shown::All, "a metre is allowed");
    }

    #[test]
    fn a_truncated_search_is_complete_once_its_parts_return_all_places() {
        let mut evidence = evidence([(60, places(0..45))]);
        assert!(evidence.is_truncated() && evidence.shown() == Shown::Truncated);

        let mut other = evidence.clone();
        evidence.extend(self::evidence([(60, places(15..60))]));
        other.extend(self::evidence([(61, places(15..60))]));

        assert_eq!(evidence.shown(), Shown::All);
        assert_eq!(other.shown(), Shown::Short, "the count has changed");
    }

    #[test]
    fn a_second_search_is_complete_only_by_itself() {
        let joined = |first: Evidence, second| {
            let mut joined = first;
            joined.join(second);
            (joined.shown(), joined.places().len())
        };

        let (low, high) = (evidence([(20, places(0..15))]), evidence([(20, places(5..20))]));
        assert_eq!(joined(low.clone(), high), (Shown::Short, 20), "what came is kept");
        assert_eq!(joined(evidence([(21, places(0..20))]), evidence([(20, places(1..21))])), (Shown::All, 20));
    }

    #[test]
    fn more_places_than_counted_prevent_a_proof_of_completeness() {
        assert_eq!(evidence([(20, places(0..22))]).shown(), Shown::Short);
    }
}
