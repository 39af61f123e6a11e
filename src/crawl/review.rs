//! Looking back on a run that is through: what it proves, what it missed, and what of that is believed.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::coverage::{self, Judged};
use super::guard::{Held, Tallies};
use super::proven::Proven;
use super::{Crawl, confirm};
use crate::domain::keyword::KeywordId;
use crate::domain::place::PlaceId;
use crate::kakao::Allowance;
use crate::store::{self, Findings, Leaving, Miss};

/// When a place that was not found is taken for gone.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// After so many misses in a row.
    pub close_after: u32,
    /// Where more than this share is missed, nothing of it is believed.
    pub max_miss_share: f64,
    /// So many places are asked for by name in a run before they are closed; none: they are closed unasked.
    pub confirm_closings: u32,
    /// Whether misses are believed whatever their share is.
    pub guard: Guard,
}

/// Whether many misses at once are believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// They are not.
    #[default]
    Up,
    /// They are: a person has looked.
    Down,
}

/// Looks back on a run; `None` where the stop token fired meanwhile.
pub(super) async fn of<A: Allowance>(
    crawl: &Crawl<'_, A>,
    stop: &CancellationToken,
) -> Result<Option<Findings>, store::Error> {
    let ground = crawl.ground;
    let Judged { mut coverage, doubted, proven, barren } = coverage::judge(crawl).await?;
    let held = match ground.rules.guard {
        Guard::Up => tally(crawl, &proven).await?.judge(ground.rules.max_miss_share, &proven.keywords(), &barren),
        Guard::Down => Held::default(),
    };
    let held_back = held.reason(
        |keyword| ground.keywords.get(&keyword).map(ToString::to_string).unwrap_or_default(),
        |region| ground.regions.name(region).to_owned(),
    );
    if let Some(reason) = &held_back {
        warn!(run.id = %crawl.fence.run, "{reason}");
    }
    // What is not believed proves nothing either.
    coverage.retain(|one| {
        let center = ground.centers.get(&one.station);
        center.is_none_or(|center| !held.holds(one.keyword, ground.regions.at(*center)))
    });
    let unseen = crawl
        .store
        .misses(crawl.fence.run, &proven.keywords(), |keyword, position| {
            proven.holds(keyword, position) && !held.holds(keyword, ground.regions.at(position))
        })
        .await?;
    let Some((missed, gone)) = part(crawl, unseen, stop).await? else { return Ok(None) };
    let doubted = doubted.into_iter().collect();
    Ok(Some(Findings { stations: ground.map.clone(), coverage, doubted, missed, gone, held_back }))
}

/// Counts what was looked for and what was missed.
async fn tally<A>(crawl: &Crawl<'_, A>, proven: &Proven) -> Result<Tallies, store::Error> {
    let mut tallies = Tallies::default();
    let count = |keyword: KeywordId, position, is_found| {
        if proven.holds(keyword, position) {
            tallies.count(keyword, crawl.ground.regions.at(position), is_found);
        }
    };
    crawl.store.for_each_link(crawl.fence.run, &proven.keywords(), count).await?;
    Ok(tallies)
}

/// Parts misses into those that leave a link in doubt and those that give it up.
async fn part<A: Allowance>(
    crawl: &Crawl<'_, A>,
    unseen: Vec<Miss>,
    stop: &CancellationToken,
) -> Result<Option<(Vec<Miss>, Vec<Miss>)>, store::Error> {
    let rules = crawl.ground.rules;
    let (gone, mut missed): (Vec<Miss>, Vec<Miss>) =
        unseen.into_iter().partition(|miss| miss.times >= rules.close_after);
    if rules.confirm_closings == 0 {
        return Ok(Some((missed, gone)));
    }
    let leaving: Vec<Leaving> = crawl.store.leaving(&gone).await?;
    let Some(answers) = confirm::ask(crawl, &leaving, rules.confirm_closings, stop).await? else { return Ok(None) };
    let leaving: BTreeSet<PlaceId> = leaving.into_iter().map(|place| place.id).collect();
    // What cannot be asked for must not wait for ever.
    let is_overdue = |miss: &Miss| answers.unasked.contains(&miss.place) && miss.times >= rules.close_after * 2;
    let is_gone =
        |miss: &Miss| !leaving.contains(&miss.place) || answers.absent.contains(&miss.place) || is_overdue(miss);
    let (gone, waiting): (Vec<Miss>, Vec<Miss>) = gone.into_iter().partition(is_gone);
    missed.extend(waiting);
    missed.retain(|miss| !answers.present.contains(&miss.place));
    Ok(Some((missed, gone)))
}
