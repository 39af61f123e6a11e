//! What the pages of a cell prove: a cell is not taken for complete, it is shown to be.

use super::Meta;
use crate::domain::geo::{Area, GROWTH, Rect};
use crate::domain::place::Place;

/// How much of what it found the API showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// All of it, and that is proven: only such a cell can tell that something is not there.
    All,
    /// Not as many as it counted, or something that does not belong here.
    Short,
    /// It shows no more of a search.
    Truncated,
}

/// What the pages of a cell have brought, and what that proves.
#[derive(Clone, Debug)]
pub struct Evidence {
    area: Area,
    /// The different places: a few dozen, so that looking through them is cheap.
    places: Vec<Place>,
    /// Documents that are no places, of the reading that had most of them.
    rejected: u32,
    total_count: u32,
    pages: u32,
    is_cut_off: bool,
    is_astray: bool,
    is_doubtful: bool,
}

impl Evidence {
    /// Begins without any page of an area.
    #[must_use]
    pub fn of(area: Area) -> Self {
        Self {
            area,
            places: Vec::new(),
            rejected: 0,
            total_count: 0,
            pages: 0,
            is_cut_off: false,
            is_astray: false,
            is_doubtful: false,
        }
    }

    /// Adds a page.
    pub fn add(&mut self, meta: Meta, places: Vec<Place>, rejected: u32) {
        self.is_doubtful |= self.pages > 0 && meta.total_count != self.total_count;
        self.is_astray |= places.iter().any(|place| !self.holds(place));
        self.is_doubtful |= self.is_astray;
        self.is_cut_off |= meta.is_cut_off();
        self.total_count = meta.total_count;
        self.pages += 1;
        self.rejected += rejected;
        self.take(places);
    }

    /// Adds what another reading of the same area brought. Only where that one alone proves everything, the doubts are over:
    /// between two short readings one place may have come and another one gone.
    pub fn join(&mut self, other: Self) {
        self.is_doubtful = other.shown() != Shown::All;
        self.is_astray = other.is_astray;
        self.total_count = other.total_count;
        self.rejected = other.rejected;
        self.pages += other.pages;
        self.is_cut_off |= other.is_cut_off;
        if self.is_doubtful {
            self.take(other.places);
        } else {
            self.places = other.places;
        }
    }

    /// Adds what another order of the same search showed of it.
    pub fn extend(&mut self, part: Self) {
        self.is_doubtful |= part.total_count != self.total_count;
        self.collect(part);
    }

    /// Adds places of a narrower search, which prove nothing for the whole.
    pub fn collect(&mut self, part: Self) {
        self.pages += part.pages;
        self.is_doubtful |= part.is_doubtful;
        self.take(part.places);
    }

    /// Keeps each place once, as it came last.
    fn take(&mut self, places: Vec<Place>) {
        for place in places {
            match self.places.iter_mut().find(|known| known.id == place.id) {
                Some(known) => *known = place,
                None => self.places.push(place),
            }
        }
    }

    /// Whether a page said that there is more than can be shown.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Whether the last reading brought a place that lies where it was not looked for.
    #[must_use]
    pub fn is_astray(&self) -> bool {
        self.is_astray
    }

    /// Whether a place lies where it was not looked for, or the count changed from page to page.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.is_doubtful
    }

    /// Whether as many documents came as the API counted, be they places or not.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.places.len() + self.rejected as usize >= self.total_count as usize
    }

    /// What is proven.
    #[must_use]
    pub fn shown(&self) -> Shown {
        if self.places.len() == self.total_count as usize && self.rejected == 0 && !self.is_doubtful {
            Shown::All
        } else if self.is_cut_off && !self.is_whole() {
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

    /// The different places so far.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The different places, and how many documents were none.
    #[must_use]
    pub fn into_places(self) -> (Vec<Place>, u32) {
        (self.places, self.rejected)
    }

    /// Whether a place lies in the area, or a metre beside it.
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
    use crate::domain::place::PlaceId;

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
            evidence.add(meta(total_count), places, 0);
        }
        evidence
    }

    #[test]
    fn as_many_different_places_as_were_counted_on_every_page_are_all() {
        assert_eq!(evidence([(0, vec![])]).shown(), Shown::All);
        assert_eq!(evidence([(20, places(0..15)), (20, places(15..20))]).shown(), Shown::All);
    }

    #[test]
    fn a_place_that_comes_twice_counts_once() {
        assert_eq!(evidence([(20, places(0..15)), (20, places(14..19))]).shown(), Shown::Short);
    }

    #[test]
    fn a_count_that_changes_between_pages_proves_nothing() {
        assert_eq!(evidence([(21, places(0..15)), (20, places(15..21))]).shown(), Shown::Short);
    }

    #[test]
    fn a_document_that_is_no_place_may_be_one_and_proves_nothing() {
        let mut evidence = Evidence::of(Area::Rect(RECT));
        evidence.add(meta(3), places(0..2), 1);

        assert!(evidence.is_whole());
        assert_eq!(evidence.shown(), Shown::Short);
    }

    #[test]
    fn a_place_outside_the_area_proves_that_the_area_was_not_kept() {
        let mut far = places(0..1);
        far[0].position = LatLng::new(37.55, 127.100_02).unwrap();

        assert_eq!(evidence([(1, far.clone())]).shown(), Shown::Short);
        far[0].position = LatLng::new(37.55, 127.100_009).unwrap();
        assert_eq!(evidence([(1, far)]).shown(), Shown::All, "a metre is allowed");
    }

    #[test]
    fn what_is_cut_off_is_truncated_unless_all_of_it_turned_up() {
        let mut evidence = evidence([(60, places(0..45))]);
        assert!(evidence.is_cut_off() && evidence.shown() == Shown::Truncated);

        let mut other = evidence.clone();
        evidence.extend(self::evidence([(60, places(15..60))]));
        other.extend(self::evidence([(61, places(15..60))]));

        assert_eq!(evidence.shown(), Shown::All);
        assert_eq!(other.shown(), Shown::Short, "the count has changed");
    }

    #[test]
    fn a_second_reading_proves_everything_itself_or_nothing() {
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
    fn more_places_than_were_counted_prove_nothing() {
        assert_eq!(evidence([(20, places(0..22))]).shown(), Shown::Short);
    }
}
