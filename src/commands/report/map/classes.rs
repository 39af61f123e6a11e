//! Which circle a station gets.

use crate::commands::report::words::count;
use crate::store::StationReport;

/// The shares of stations at which a fill begins.
const FIFTHS: [usize; 4] = [1, 2, 3, 4];

/// How a ring tells for how many keywords a station is cut off.
pub(super) struct Ring {
    /// From so many keywords on.
    from: i64,
    /// The class of the circle.
    pub(super) class: &'static str,
    /// In words.
    pub(super) told: &'static str,
}

/// From the widest to none.
pub(super) const RINGS: [Ring; 3] = [
    Ring { from: 0, class: "", told: "none" },
    Ring { from: 1, class: "c1", told: "1 or 2" },
    Ring { from: 3, class: "c2", told: "3 and more" },
];

/// The ring for so many keywords.
pub(super) fn ring(keywords: i64) -> &'static Ring {
    let [none, some, many] = &RINGS;
    match keywords {
        _ if keywords >= many.from => many,
        _ if keywords >= some.from => some,
        _ => none,
    }
}

/// The numbers of places at which the fills begin, the first one at none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Classes(Vec<i64>);

impl Classes {
    /// Fills that about as many stations have each, at round numbers.
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

    /// The class of a station with so many places, from 0 on.
    pub(super) fn of_places(&self, places: i64) -> usize {
        self.0.iter().filter(|from| places >= **from).count().saturating_sub(1)
    }

    /// The classes in words.
    pub(super) fn told(&self) -> Vec<String> {
        let to = |at: usize| self.0.get(at + 1).map(|next| next - 1);
        let told = |(at, from): (usize, &i64)| match to(at) {
            Some(to) if to == *from => count(*from),
            Some(to) => format!("{} to {}", count(*from), count(to)),
            None if at == 0 => "any number".to_owned(),
            None => format!("{} and more", count(*from)),
        };
        self.0.iter().enumerate().map(told).collect()
    }
}

/// To one digit that is not zero.
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
    fn fills_begin_at_round_numbers_and_leave_no_gap() {
        let places: Vec<i64> = (0..1000).map(|place| place * place / 1000).collect();

        let classes = Classes::of_sorted(&places);

        assert_eq!(classes.told(), ["0 to 39", "40 to 199", "200 to 399", "400 to 599", "600 and more"]);
        assert_eq!([0, 39, 40, 599, 600, 9999].map(|places| classes.of_places(places)), [0, 0, 1, 3, 4, 4]);
    }

    #[test]
    fn stations_that_are_all_alike_share_one_fill() {
        assert_eq!(Classes::of_sorted(&[0, 0, 0]).told(), ["any number"]);
        assert_eq!(Classes::of_sorted(&[5; 9]).told(), ["0 to 4", "5 and more"]);
        assert_eq!(Classes::of_sorted(&[]).of_places(7), 0);
    }

    #[test]
    fn a_ring_tells_how_many_keywords_are_cut_off() {
        assert_eq!([0, 1, 2, 3, 10].map(|keywords| ring(keywords).class), ["", "c1", "c1", "c2", "c2"]);
    }
}
