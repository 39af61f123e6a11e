//! The guard: if too many known places are missed at once, the search is considered faulty and no place counts as missing.
//!
//! A wrong key, an API that finds nothing for an hour or a broken station file must not close the stored places. The guard
//! compares the share of misses with a limit: per keyword, per keyword and region, and in total.

use std::collections::{BTreeMap, BTreeSet};

use super::regions::Region;
use crate::domain::keyword::KeywordId;

/// Up to this many misses are accepted whatever their share: in a small region a few closings are a large share.
const ALWAYS_BELIEVED: u64 = 20;

/// Maximum number of keywords and regions named in the message.
const MAX_NAMED: usize = 5;

/// Number of matches that were searched for, and of those missed for the first time. Matches already counted as missing are
/// excluded: closings that wait for confirmation must not trigger the guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) looked_for: u64,
    pub(super) missed: u64,
}

/// The tallies of a run, per keyword and region.
#[derive(Debug, Default)]
pub(super) struct Tallies(BTreeMap<(KeywordId, Region), Tally>);

/// Which misses are held back, with the tallies that are the reason.
#[derive(Debug, Default)]
pub(super) struct Held {
    everything: Option<Tally>,
    keywords: BTreeMap<KeywordId, Tally>,
    /// Keywords that found nothing in the whole run.
    barren: BTreeMap<KeywordId, Tally>,
    /// Whether no keyword found anything.
    is_empty_handed: bool,
    regions: BTreeMap<(KeywordId, Region), Tally>,
}

impl Tallies {
    /// Counts a match that was searched for.
    pub(super) fn count(&mut self, keyword: KeywordId, region: Region, is_found: bool) {
        let tally = self.0.entry((keyword, region)).or_default();
        tally.looked_for += 1;
        tally.missed += u64::from(!is_found);
    }

    /// Decides which misses of the keywords `searched` are held back: those of a group with a share above `max_share`, and
    /// all of the keywords `barren`, which found nothing in the whole run.
    ///
    /// A few misses of each group are always accepted, so the total is checked as well. All misses are held back only if the
    /// share is also too large without the groups that are held back already: one bad keyword does not affect the others.
    pub(super) fn judge(&self, max_share: f64, searched: &[KeywordId], barren: &BTreeSet<KeywordId>) -> Held {
        let of = |keyword: &KeywordId| (*keyword, self.sum(|(other, _)| other == *keyword));
        let mut held = Held {
            everything: None,
            keywords: searched.iter().map(of).filter(|(_, tally)| tally.is_too_much(max_share)).collect(),
            barren: barren.iter().map(of).collect(),
            is_empty_handed: !barren.is_empty() && searched.iter().all(|keyword| barren.contains(keyword)),
            regions: self.0.clone(),
        };
        held.regions.retain(|_, tally| tally.is_too_much(max_share));
        let (all, others) = (self.sum(|_| true), self.sum(|(keyword, region)| !held.holds(keyword, region)));
        let are_others_as_bad = others.looked_for == 0 || others.share() > max_share;
        held.everything = Some(all).filter(|all| all.is_too_much(max_share) && are_others_as_bad);
        held
    }

    fn sum(&self, is_wanted: impl Fn((KeywordId, Region)) -> bool) -> Tally {
        let wanted = self.0.iter().filter(|(group, _)| is_wanted(**group));
        wanted.fold(Tally::default(), |sum, (_, tally)| Tally {
            looked_for: sum.looked_for + tally.looked_for,
            missed: sum.missed + tally.missed,
        })
    }
}

impl Tally {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(super) fn share(self) -> f64 {
        self.missed as f64 / self.looked_for.max(1) as f64
    }

    /// Whether so many matches are missed that the search is considered faulty.
    pub(super) fn is_too_much(self, max_share: f64) -> bool {
        self.missed > ALWAYS_BELIEVED && self.share() > max_share
    }
}

impl Held {
    /// Whether the misses of a keyword in a region are held back.
    pub(super) fn holds(&self, keyword: KeywordId, region: Region) -> bool {
        self.everything.is_some()
            || self.keywords.contains_key(&keyword)
            || self.barren.contains_key(&keyword)
            || self.regions.contains_key(&(keyword, region))
    }

    /// Why misses are held back, as a sentence; `None` if none is.
    pub(super) fn reason(
        &self,
        keyword: impl Fn(KeywordId) -> String,
        region: impl Fn(Region) -> String,
    ) -> Option<String> {
        let words = |what: String, tally: Tally| {
            let Tally { looked_for, missed } = tally;
            format!("{what} {missed} of {looked_for} ({:.0} %)", tally.share() * 100.0)
        };
        if self.is_empty_handed {
            return Some(
                "nothing was found by any search, so no place counts as missing and nothing as complete; `sanggwond crawl \
                 --accept-closings` accepts it"
                    .to_owned(),
            );
        }
        let groups: Vec<String> = if let Some(tally) = self.everything {
            vec![words("in all".to_owned(), tally)]
        } else {
            let is_new = |(id, tally): &(&KeywordId, &Tally)| tally.missed > 0 && !self.keywords.contains_key(*id);
            let barren = self.barren.iter().filter(is_new);
            let keywords = self.keywords.iter().chain(barren).map(|(id, tally)| words(keyword(*id), *tally));
            let is_named = |id: &KeywordId| self.keywords.contains_key(id) || self.barren.contains_key(id);
            let regions = self.regions.iter().filter(|((id, _), _)| !is_named(id));
            let regions =
                regions.map(|((id, at), tally)| words(format!("{} in {}", keyword(*id), region(*at)), *tally));
            keywords.chain(regions).collect()
        };
        let named = groups.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
        let further = match groups.len().saturating_sub(MAX_NAMED) {
            0 => String::new(),
            further => format!(" and {further} more"),
        };
        (!groups.is_empty()).then(|| {
            format!(
                "too many places were not found, so none of these counts as missing: {named}{further}; `sanggwond crawl \
                 --accept-closings` accepts it"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::review::regions::Regions;
    use crate::domain::geo::LatLng;
    use crate::domain::station::{Station, StationId, StoredStation};

    fn regions() -> [Region; 2] {
        let at = |longitude| LatLng::new(37.0, longitude).unwrap();
        let stored = |region: &str, longitude| {
            let station = Station {
                name: "역".to_owned(),
                region: region.to_owned(),
                lines: Vec::new(),
                position: at(longitude),
            };
            StoredStation { id: StationId(1), station, is_retired: false }
        };
        let regions = Regions::of(&[stored("대전", 127.4), stored("수도권", 127.0)]);
        [regions.at(at(127.01)), regions.at(at(127.39))]
    }

    fn held(counts: &[(i32, Region, u64, u64)]) -> Held {
        let mut tallies = Tallies::default();
        for (keyword, region, looked_for, missed) in counts {
            for number in 0..*looked_for {
                tallies.count(KeywordId(*keyword), *region, number >= *missed);
            }
        }
        let searched: BTreeSet<KeywordId> = counts.iter().map(|(keyword, ..)| KeywordId(*keyword)).collect();
        tallies.judge(0.1, &searched.into_iter().collect::<Vec<_>>(), &BTreeSet::new())
    }

    #[test]
    fn a_tenth_is_accepted_and_more_is_not() {
        let [seoul, _] = regions();

        assert!(!held(&[(1, seoul, 1000, 100)]).holds(KeywordId(1), seoul));
        assert!(held(&[(1, seoul, 1000, 101)]).holds(KeywordId(1), seoul));
        assert!(held(&[(1, seoul, 100, 100)]).holds(KeywordId(1), seoul), "an API that finds nothing");
    }

    #[test]
    fn a_few_are_always_accepted() {
        let [seoul, _] = regions();

        assert!(!held(&[(1, seoul, 20, 20)]).holds(KeywordId(1), seoul));
        assert!(held(&[(1, seoul, 21, 21)]).holds(KeywordId(1), seoul));
    }

    #[test]
    fn one_keyword_one_region_or_everything_is_held() {
        let [seoul, daejeon] = regions();
        let shown = |held: &Held| {
            [(1, seoul), (1, daejeon), (2, seoul)].map(|(keyword, region)| held.holds(KeywordId(keyword), region))
        };

        let region = held(&[(1, seoul, 1000, 0), (1, daejeon, 100, 30), (2, seoul, 1000, 0)]);
        let keyword = held(&[(1, seoul, 100, 40), (1, daejeon, 50, 0), (2, seoul, 1000, 0)]);
        let bad_keyword = held(&[(1, seoul, 1000, 400), (1, daejeon, 50, 0), (2, seoul, 1000, 50)]);
        let everything = held(&[(1, seoul, 20, 20), (1, daejeon, 10, 0), (2, seoul, 20, 20)]);
        let nothing_found = held(&[(1, seoul, 1000, 1000), (1, daejeon, 10, 10), (2, seoul, 5, 5)]);

        assert_eq!(shown(&region), [false, true, false]);
        assert_eq!(shown(&keyword), [true, true, false]);
        assert_eq!(shown(&bad_keyword), [true, true, false], "a fifth of all is missed, but only by one keyword");
        assert_eq!(shown(&everything), [true, true, true], "twenty of each would be accepted, but not of all");
        assert_eq!(shown(&nothing_found), [true, true, true], "five of the second are accepted at other times");
    }

    #[test]
    fn a_keyword_that_finds_nothing_is_held_back_even_if_it_had_few_places() {
        let [seoul, _] = regions();
        let mut tallies = Tallies::default();
        tallies.count(KeywordId(1), seoul, false);
        tallies.count(KeywordId(2), seoul, true);
        let searched = [KeywordId(1), KeywordId(2)];
        let judge = |barren: &[KeywordId]| tallies.judge(0.1, &searched, &barren.iter().copied().collect());
        let reason = |held: &Held| held.reason(|id| format!("keyword {}", id.0), |_| String::new());

        let one = judge(&[KeywordId(1)]);
        assert!(one.holds(KeywordId(1), seoul) && !one.holds(KeywordId(2), seoul));
        assert!(reason(&one).unwrap().contains("keyword 1 1 of 1 (100 %)"));
        assert!(reason(&judge(&searched)).unwrap().starts_with("nothing was found by any search"));
        assert_eq!(reason(&judge(&[])), None);
    }

    #[test]
    fn the_reason_names_what_was_held() {
        let [seoul, daejeon] = regions();
        let held = held(&[(1, seoul, 5000, 0), (1, daejeon, 100, 30), (2, seoul, 1000, 300)]);

        let reason = held.reason(|id| format!("keyword {}", id.0), |_| "대전".to_owned()).unwrap();

        assert!(reason.contains("keyword 2 300 of 1000 (30 %), keyword 1 in 대전 30 of 100 (30 %);"), "{reason}");
        assert_eq!(Held::default().reason(|_| String::new(), |_| String::new()), None);
    }
}
