//! Confirms or drops the doubts of a run at its end. A doubt is new content of a known place that is implausible.
//!
//! If a known place has moved more than 2 km or lost its name, a search for its name must confirm it, as before a closing.
//! The loss of another field is accepted without a search. If too many places of a keyword have a doubt, the API is
//! considered faulty: none of these places is changed, and the keyword proves nothing in this run.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::confirm::{ByName, Reply};
use super::guard::Tally;
use super::rules::{Guard, Rules};
use crate::crawl::searches::Searches;
use crate::crawl::writer::Writer;
use crate::domain::cell::Traffic;
use crate::domain::keyword::KeywordId;
use crate::domain::place::Place;
use crate::kakao::Error;
use crate::store::{self, Confirmed, Doubt, DoubtKind, DoubtTally, NamedPlace};

/// Number of doubts that are settled at a time.
const CHUNK: i64 = 50;

/// The keywords whose doubts are held back because there are too many, each with its tally.
#[derive(Debug, Default)]
pub(super) struct Doubted(BTreeMap<KeywordId, Tally>);

impl Doubted {
    /// Applies the guard to the doubts of each keyword, and of all keywords together.
    fn judge(tallies: &[DoubtTally], rules: Rules) -> Self {
        if rules.guard == Guard::Down {
            return Self::default();
        }
        let tally =
            |one: &DoubtTally| Tally { looked_for: one.found.unsigned_abs(), missed: one.doubted.unsigned_abs() };
        let all = tallies.iter().map(tally).fold(Tally::default(), |sum, one| Tally {
            looked_for: sum.looked_for + one.looked_for,
            missed: sum.missed + one.missed,
        });
        let is_held =
            |one: &&DoubtTally| all.is_too_much(rules.max_miss_share) || tally(one).is_too_much(rules.max_miss_share);
        Self(tallies.iter().filter(is_held).map(|one| (one.keyword, tally(one))).collect())
    }

    /// Whether the doubts of a keyword are held back.
    pub(super) fn holds(&self, keyword: KeywordId) -> bool {
        self.0.contains_key(&keyword)
    }

    /// Why changes were held back, as a sentence; `None` if none was.
    pub(super) fn reason(&self, searches: &Searches) -> Option<String> {
        let words = |(keyword, tally): (&KeywordId, &Tally)| {
            let Tally { looked_for, missed } = tally;
            format!("{} {missed} of {looked_for} ({:.0} %)", searches.keyword_name(*keyword), tally.share() * 100.0)
        };
        (!self.0.is_empty()).then(|| {
            format!(
                "too many known places moved more than 2 km or lost fields, so none of them was changed: {}; `sanggwond crawl \
                 --accept-closings` accepts it",
                self.0.iter().map(words).collect::<Vec<_>>().join(", ")
            )
        })
    }
}

/// Confirms or drops the doubts of a run; `None` if the stop token is cancelled.
pub(super) async fn settle(
    by_name: ByName<'_>,
    writer: &Writer,
    rules: Rules,
    stop: &CancellationToken,
) -> Result<Option<Doubted>, store::Error> {
    let (store, run) = (&writer.store, writer.fence.run);
    let held = Doubted::judge(&store.doubt_tallies(run).await?, rules);
    let mut left = rules.confirm_closings as usize;
    let mut after = None;
    loop {
        let doubts = store.doubts(run, after.as_ref(), CHUNK).await?;
        let Some(last) = doubts.last() else { return Ok(Some(held)) };
        after = Some(last.content.id.clone());
        let is_held = |doubt: &Doubt| doubt.keywords.iter().any(|keyword| held.holds(*keyword));
        let plausible: Vec<Doubt> = doubts.into_iter().filter(|doubt| !is_held(doubt)).collect();
        let is_plain = |doubt: &Doubt| doubt.kind == DoubtKind::Blanked || rules.confirm_closings == 0;
        let (plain, mut asked): (Vec<Doubt>, Vec<Doubt>) = plausible.into_iter().partition(is_plain);
        asked.truncate(left);
        left -= asked.len();
        let mut confirmed: Vec<Place> = plain.into_iter().map(|doubt| doubt.content).collect();
        let (traffic, end) = ask(by_name, &asked, &mut confirmed, stop).await;
        if !confirmed.is_empty() || traffic.requests > 0 {
            writer.store_confirmed(Confirmed { places: &confirmed, traffic }).await?;
        }
        match end {
            None => {}
            Some(Error::Stopped) => return Ok(None),
            Some(error) => {
                warn!("no more moved or nameless places are asked for: {error}");
                left = 0;
            }
        }
    }
}

/// Searches for places by their stored names at their new positions. Those that are found are added to `confirmed`.
async fn ask(
    by_name: ByName<'_>,
    doubts: &[Doubt],
    confirmed: &mut Vec<Place>,
    stop: &CancellationToken,
) -> (Traffic, Option<Error>) {
    let mut traffic = Traffic::default();
    let mut end = None;
    let question = |doubt: &Doubt| NamedPlace {
        id: doubt.content.id.clone(),
        name: doubt.name.clone(),
        position: doubt.content.position,
    };
    let questions: Vec<NamedPlace> = doubts.iter().map(question).collect();
    let answers = join_all(questions.iter().map(|place| by_name.ask(place, stop))).await;
    for (doubt, (cost, reply)) in doubts.iter().zip(answers) {
        traffic += cost;
        match reply {
            Ok(Reply::There(found)) => confirmed.push(*found),
            Ok(Reply::Absent | Reply::Unclear) | Err(Error::Cell(_) | Error::Invalid(_)) => {
                let id = &doubt.content.id;
                info!(place.id = %id, "place {id} is not changed: a search for its name did not confirm that it moved or has no name");
            }
            Err(error) => end = Some(error),
        }
    }
    (traffic, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(tallies: &[(i32, i64, i64)], guard: Guard) -> Vec<i32> {
        let tally = |(keyword, found, doubted): &(i32, i64, i64)| DoubtTally {
            keyword: KeywordId(*keyword),
            found: *found,
            doubted: *doubted,
        };
        let rules = Rules { close_after: 2, max_miss_share: 0.1, confirm_closings: 2000, guard };
        let tallies: Vec<DoubtTally> = tallies.iter().map(tally).collect();
        Doubted::judge(&tallies, rules).0.into_keys().map(|keyword| keyword.0).collect()
    }

    #[test]
    fn a_keyword_with_many_doubts_is_held_back_for_itself() {
        assert_eq!(held(&[(1, 1000, 150), (2, 4000, 10)], Guard::Up), [1]);
        assert_eq!(held(&[(1, 30, 20)], Guard::Up), [0; 0], "a few are always accepted");
        assert_eq!(held(&[(1, 1000, 150)], Guard::Down), [0; 0], "a person has looked");
    }

    #[test]
    fn a_few_doubts_of_many_keywords_are_held_back_together() {
        assert_eq!(held(&[(1, 30, 15), (2, 30, 15)], Guard::Up), [1, 2]);
    }
}
