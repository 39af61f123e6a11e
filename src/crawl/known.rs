//! The positions of known places, from which rectangles are planned and divided.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::cover::{Crowd, Requests};
use crate::domain::churn::Churn;
use crate::domain::geo::{LatLng, Rect};
use crate::domain::keyword::KeywordId;
use crate::store::KnownPlaces;

/// The height and width of a tile in degrees, about 2 km.
const TILE: f64 = 0.02;

/// What earlier runs, and this one so far, have found by each keyword.
#[derive(Debug, Default)]
pub struct Known {
    before: BTreeMap<KeywordId, Tiles>,
    /// What this run has found by keywords of which nothing was known before.
    now: Mutex<BTreeMap<KeywordId, Tiles>>,
    /// Number of positions in both.
    count: AtomicUsize,
    churn: BTreeMap<KeywordId, Churn>,
}

/// Positions in tiles, by row and column, so that those in a rectangle are found quickly.
#[derive(Debug, Default)]
struct Tiles(BTreeMap<(i32, i32), Vec<LatLng>>);

impl Known {
    /// Indexes the known places.
    #[must_use]
    pub fn new(KnownPlaces { positions, churn }: KnownPlaces) -> Self {
        let count = AtomicUsize::new(positions.values().map(Vec::len).sum());
        let indexed = positions.into_iter().map(|(keyword, positions)| (keyword, Tiles::new(positions)));
        Self { before: indexed.collect(), now: Mutex::default(), count, churn }
    }

    /// Number of known positions of all keywords.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// Whether places of a keyword were known before this run.
    #[must_use]
    pub fn has(&self, keyword: KeywordId) -> bool {
        self.before.contains_key(&keyword)
    }

    /// All positions that were known of a keyword before this run.
    #[must_use]
    pub fn of(&self, keyword: KeywordId) -> Vec<LatLng> {
        self.before.get(&keyword).into_iter().flat_map(|tiles| tiles.0.values().flatten()).copied().collect()
    }

    /// The positions in a rectangle that were known of a keyword before this run.
    #[must_use]
    pub fn within(&self, keyword: KeywordId, rect: Rect) -> Vec<LatLng> {
        self.before.get(&keyword).into_iter().flat_map(|tiles| tiles.within(rect)).collect()
    }

    /// Adds the positions that a keyword has found in a rectangle, if nothing was known of it before this run.
    pub fn add(&self, keyword: KeywordId, positions: Vec<LatLng>) {
        if !self.has(keyword) {
            self.count.fetch_add(positions.len(), Relaxed);
            self.now.lock().unwrap_or_else(PoisonError::into_inner).entry(keyword).or_default().extend(positions);
        }
    }

    /// What is known about a truncated rectangle: the number of places, and the positions of those on the page.
    #[must_use]
    pub fn crowd(&self, keyword: KeywordId, rect: Rect, total: u32, shown: &[LatLng]) -> Crowd {
        let mut known = self.within(keyword, rect);
        // Most places found just now are known already, at the same position, and must not count twice.
        let new: Vec<LatLng> = shown.iter().filter(|position| !known.contains(position)).copied().collect();
        known.extend(new);
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let others = self.before.iter().chain(now.iter()).filter(|(other, _)| **other != keyword);
        let others = others.flat_map(|(_, tiles)| tiles.within(rect)).collect();
        Crowd { total: total as usize, known, others }
    }

    /// The expected numbers of requests for the places of a keyword.
    #[must_use]
    pub fn requests(&self, keyword: KeywordId) -> Requests {
        Requests::after(self.churn.get(&keyword).copied().unwrap_or_default())
    }
}

impl Tiles {
    fn new(positions: Vec<LatLng>) -> Self {
        let mut tiles = Self::default();
        tiles.extend(positions);
        tiles.0.values_mut().for_each(Vec::shrink_to_fit);
        tiles
    }

    fn extend(&mut self, positions: impl IntoIterator<Item = LatLng>) {
        for position in positions {
            let tile = (number(position.latitude()), number(position.longitude()));
            self.0.entry(tile).or_default().push(position);
        }
    }

    fn within(&self, rect: Rect) -> impl Iterator<Item = LatLng> {
        let columns = (number(rect.west), number(rect.east));
        let rows = number(rect.south)..=number(rect.north);
        let tiles = rows.flat_map(move |row| self.0.range((row, columns.0)..=(row, columns.1)));
        tiles.flat_map(|(_, positions)| positions).filter(move |position| rect.contains(**position)).copied()
    }
}

/// The number of the row or column of tiles.
#[expect(clippy::cast_possible_truncation, reason = "degrees are few")]
fn number(degrees: f64) -> i32 {
    (degrees / TILE).floor() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> LatLng {
        LatLng::new(latitude, longitude).unwrap()
    }

    fn known(keyword: KeywordId, positions: Vec<LatLng>) -> Known {
        Known::new(KnownPlaces { positions: BTreeMap::from([(keyword, positions)]), churn: BTreeMap::new() })
    }

    #[test]
    fn positions_are_found_in_every_rectangle_that_contains_them() {
        let positions: Vec<LatLng> =
            (0..900).map(|n| at(37.5 + f64::from(n / 30) * 0.007, -0.1 + f64::from(n % 30) * 0.007)).collect();
        let known = known(KeywordId(1), positions.clone());

        for (south, west, side) in [(37.5, -0.1, 0.3), (37.513, -0.013, 0.05), (37.6, 0.02, 0.0001), (38.0, 0.0, 1.0)] {
            let rect = Rect { south, west, north: south + side, east: west + side };
            let scanned = positions.iter().filter(|position| rect.contains(**position)).count();
            assert_eq!(known.within(KeywordId(1), rect).len(), scanned);
        }
        assert_eq!(known.of(KeywordId(1)).len(), 900);
    }

    #[test]
    fn a_new_keyword_learns_from_others_and_others_from_it() {
        let (old, new) = (KeywordId(1), KeywordId(2));
        let known = known(old, vec![at(37.5, 127.0)]);

        known.add(new, vec![at(37.6, 127.0)]);
        known.add(old, vec![at(37.7, 127.0)]);

        assert_eq!(known.count(), 2);
        let crowd = |keyword, shown| known.crowd(keyword, Rect::GLOBE, 100, &[shown]);
        let (of_old, of_new) = (crowd(old, at(37.5, 127.0)), crowd(new, at(37.6, 127.0)));
        assert_eq!((of_old.known, of_old.others), (vec![at(37.5, 127.0)], vec![at(37.6, 127.0)]), "counted once");
        assert_eq!((of_new.known, of_new.others), (vec![at(37.6, 127.0)], vec![at(37.5, 127.0)]));
    }
}
