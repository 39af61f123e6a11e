//! Where known places are, as far as the planner wants to know.

use std::collections::BTreeMap;

use crate::domain::geo::{LatLng, Rect};
use crate::domain::keyword::KeywordId;

/// The positions of the places that each keyword has found.
#[derive(Clone, Debug, Default)]
pub struct Known(BTreeMap<KeywordId, Vec<LatLng>>);

impl Known {
    /// Takes the positions of each keyword.
    #[must_use]
    pub fn new(mut positions: BTreeMap<KeywordId, Vec<LatLng>>) -> Self {
        for positions in positions.values_mut() {
            positions.sort_unstable_by(|a, b| a.latitude().total_cmp(&b.latitude()));
        }
        Self(positions)
    }

    /// All positions of a keyword.
    #[must_use]
    pub fn of(&self, keyword: KeywordId) -> &[LatLng] {
        self.0.get(&keyword).map_or(&[], Vec::as_slice)
    }

    /// The positions of a keyword in a rectangle.
    #[must_use]
    pub fn within(&self, keyword: KeywordId, rect: Rect) -> Vec<LatLng> {
        let positions = self.of(keyword);
        let first = positions.partition_point(|position| position.latitude() < rect.south);
        let northern = positions[first..].iter().take_while(|position| position.latitude() <= rect.north);
        northern.filter(|position| rect.contains(**position)).copied().collect()
    }
}
