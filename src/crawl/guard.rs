//! The guard: where too much is missed at once, the search is to blame and not the places.
//!
//! A wrong key, an API that answers "nothing found" for an hour or a broken station file must not empty the tables. It is
//! judged by what was looked for: per keyword, per keyword and region, and all in all.

use std::collections::{BTreeMap, BTreeSet};

use super::regions::Region;
use crate::domain::keyword::KeywordId;

/// So many misses are believed whatever their share is: in a small region a few closings are a large share.
const ALWAYS_BELIEVED: u64 = 20;

/// How many groups are named where misses are held back.
const MAX_NAMED: usize = 5;

/// How many links were looked for, and how many of them were missed for the first time. What was believed already is no news:
/// closings that wait must not raise the guard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) looked_for: u64,
    pub(super) missed: u64,
}

/// The tallies of a run.
#[derive(Debug, Default)]
pub(super) struct Tallies(BTreeMap<(KeywordId, Region), Tally>);

/// Which misses do not count, and why.
#[derive(Debug, Default)]
pub(super) struct Held {
    everything: Option<Tally>,
    keywords: BTreeMap<KeywordId, Tally>,
    /// Keywords that have found nothing anywhere.
    barren: BTreeMap<KeywordId, Tally>,
    /// Whether no keyword has found anything.
    is_empty_handed: bool,
    regions: BTreeMap<(KeywordId, Region), Tally>,
}

impl Tallies {
    /// Counts a link.
    pub(super) fn count(&mut self, keyword: KeywordId, region: Region, is_found: bool) {
        let tally = self.0.entry((keyword, region)).or_default();
        tally.looked_for += 1;
        tally.missed += u64::from(!is_found);
    }

    /// Judges which misses of the keywords that were `searched` count, where a share of at most `max_share` is believed, and
    /// nothing of those that are `barren`: they have found nothing anywhere.
    ///
    /// A few misses of a group are always believed, so everything together is judged, too: without the groups that are held
    /// for themselves, because one bad keyword is no reason to doubt the others.
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
    fn share(self) -> f64 {
        self.missed as f64 / self.looked_for.max(1) as f64
    }

    fn is_too_much(self, max_share: f64) -> bool {
        self.missed > ALWAYS_BELIEVED && self.share() > max_share
    }
}

impl Held {
    /// Whether a miss of a keyword in a region does not count.
    pub(super) fn holds(&self, keyword: KeywordId, region: Region) -> bool {
        self.everything.is_some()
            || self.keywords.contains_key(&keyword)
            || self.barren.contains_key(&keyword)
            || self.regions.contains_key(&(keyword, region))
    }

    /// Why misses do not count, in words; `None` where all do.
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
                "nothing was found by any search, so nothing is taken for gone or for complete; `sanggwond crawl \
                 --accept-closings` believes it"
                    .to_owned(),
            );
        }
        let groups: Vec<String> = if let Some(tally) = self.everything {
            vec![words("in all".to_owned(), tally)]
        } else {
            let is_new = |(id, tally): &(&KeywordId, &Tally)| tally.missed > 0 && !self.keywords.contains_key(*id);
            let barren = self.barren.iter().filter(is_new);
            let keywords = self.keywords.iter().chain(barren).map(|(id, tally)| words(keyword(*id), *tally));
            let is_told = |id: &KeywordId| self.keywords.contains_key(id) || self.barren.contains_key(id);
            let regions = self.regions.iter().filter(|((id, _), _)| !is_told(id));
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
                "too many places were not found to believe it, so none of them is taken for gone: {named}{further}; \
                 `sanggwond crawl --accept-closings` believes it"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crawl::regions::Regions;
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
    fn a_tenth_is_believed_and_more_is_not() {
        let [seoul, _] = regions();

        assert!(!held(&[(1, seoul, 1000, 100)]).holds(KeywordId(1), seoul));
        assert!(held(&[(1, seoul, 1000, 101)]).holds(KeywordId(1), seoul));
        assert!(held(&[(1, seoul, 100, 100)]).holds(KeywordId(1), seoul), "an API that finds nothing");
    }

    #[test]
    fn a_few_are_always_believed() {
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
        assert_eq!(shown(&everything), [true, true, true], "twenty of each would be believed, but not of all");
        assert_eq!(shown(&nothing_found), [true, true, true], "five of the second are believed at other times");
    }

    #[test]
    fn a_keyword_that_finds_nothing_anywhere_is_not_believed_however_few_places_it_had() {
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
