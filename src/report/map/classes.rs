//! Chooses the fill of a station's circle (number of places) and its ring (number of keywords whose results were truncated by
//! the API's 45-result limit).

use crate::report::words::count;
use crate::store::StationReport;

/// The boundaries at which the fill changes: after 1/5, 2/5, 3/5 and 4/5 of the stations, sorted by places.
const FIFTHS: [usize; 4] = [1, 2, 3, 4];

/// A ring, which shows the number of truncated keywords.
pub(super) struct Ring {
    /// The minimum number of truncated keywords.
    from: i64,
    /// The CSS class of the circle.
    pub(super) class: &'static str,
    /// The text in the legend.
    pub(super) label: &'static str,
}

/// All rings, by increasing number of keywords.
pub(super) const RINGS: [Ring; 3] = [
    Ring { from: 0, class: "", label: "none" },
    Ring { from: 1, class: "c1", label: "1 or 2" },
    Ring { from: 3, class: "c2", label: "3 and more" },
];

/// The ring for a number of truncated keywords.
pub(super) fn ring(keywords: i64) -> &'static Ring {
    let [none, some, many] = &RINGS;
    match keywords {
        _ if keywords >= many.from => many,
        _ if keywords >= some.from => some,
        _ => none,
    }
}

/// The minimum number of places of each fill; the first is 0.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Classes(Vec<i64>);

impl Classes {
    /// Chooses round limits so that each fill covers about the same number of stations. Equal limits are merged.
    pub(super) fn of(stations: &[StationReport]) -> Self {
        let mut places: Vec<i64> = stations.iter().map(|station| station.places).collect();
        places.sort_unstable();
        Self::of_sorted(&places)
    }

    fn of_sorted(places: &[i64]) -> Self {
        let at = FIFTHS.into_iter().filter_map(|fifth| places.get(places.len() * fifth / 5));
        let mut classes = vec![0];
        for from in at.map(|places| round(*places)) {
            if classes.last().is_some_and(|last| from > *last) {
                classes.push(from);
            }
        }
        Self(classes)
    }

    /// The class of a number of places, counted from 0.
    pub(super) fn of_places(&self, places: i64) -> usize {
        self.0.iter().filter(|from| places >= **from).count().saturating_sub(1)
    }

    /// The texts of the classes in the legend.
    pub(super) fn labels(&self) -> Vec<String> {
        let to = |at: usize| self.0.get(at + 1).map(|next| next - 1);
        let label = |(at, from): (usize, &i64)| match to(at) {
            Some(to) if to == *from => count(*from),
            Some(to) => format!("{} to {}", count(*from), count(to)),
            None if at == 0 => "any number".to_owned(),
            None => format!("{} and more", count(*from)),
        };
        self.0.iter().enumerate().map(label).collect()
    }
}

/// Rounds to one significant digit.
fn round(number: i64) -> i64 {
    let mut unit = 1;
    while number / unit >= 10 {
        unit *= 10;
    }
    (number + unit / 2) / unit * unit
}

#[cfg(test)]
mod tests {
    use super::{Classes, ring};

    #[test]
    fn fills_begin_at_round_numbers_without_gaps() {
        let places: Vec<i64> = (0..1000).map(|place| place * place / 1000).collect();

        let classes = Classes::of_sorted(&places);

        assert_eq!(classes.labels(), ["0 to 39", "40 to 199", "200 to 399", "400 to 599", "600 and more"]);
        assert_eq!([0, 39, 40, 599, 600, 9999].map(|places| classes.of_places(places)), [0, 0, 1, 3, 4, 4]);
    }

    #[test]
    fn stations_with_equal_numbers_of_places_share_one_fill() {
        assert_eq!(Classes::of_sorted(&[0, 0, 0]).labels(), ["any number"]);
        assert_eq!(Classes::of_sorted(&[5; 9]).labels(), ["0 to 4", "5 and more"]);
        assert_eq!(Classes::of_sorted(&[]).of_places(7), 0);
    }

    #[test]
    fn a_ring_shows_how_many_keywords_are_truncated() {
        assert_eq!([0, 1, 2, 3, 10].map(|keywords| ring(keywords).class), ["", "c1", "c1", "c2", "c2"]);
    }
}
