//! Reviews a run without pending cells: which areas were covered completely, which known places were missing, and whether
//! that is plausible.

mod confirm;
mod coverage;
mod doubts;
mod guard;
mod proven;
pub mod regions;
pub mod rules;

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::api::Api;
use super::searches::Searches;
use super::writer::Writer;
use crate::domain::cell::are_too_many_rejected;
use crate::domain::geo::LatLng;
use crate::domain::keyword::KeywordId;
use crate::domain::place::PlaceId;
use crate::domain::run::RunId;
use crate::domain::station::{StationId, StationMap};
use crate::store::{self, Findings, Miss, NamedPlace};
use confirm::ByName;
use coverage::Judged;
use doubts::Doubted;
use guard::{Held, Tallies};
use proven::Proven;
use regions::Regions;
use rules::{Guard, Rules};

/// What the review compares the results of a run with.
#[derive(Debug)]
pub struct Expected {
    /// The stations in the scope of the run, with their positions.
    pub covered: Vec<(StationId, LatLng)>,
    /// The regions of the stations.
    pub regions: Regions,
    /// When a place that was not found counts as gone.
    pub rules: Rules,
    /// Stations and keywords that left the configuration but are crawled, as a sentence.
    pub retirement_held_back: Option<String>,
    /// The run whose failed cells are read again.
    pub failed_cells_of: Option<RunId>,
}

/// A review and what it uses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Review<'a> {
    /// The API.
    pub(super) api: &'a Api,
    /// Writes the results of searches by name.
    pub(super) writer: &'a Writer,
    /// The stations and keywords of the run.
    pub(super) searches: &'a Searches,
    /// What the results are compared with.
    pub(super) expected: &'a Expected,
}

impl Review<'_> {
    /// Reviews the run; `None` if the stop token is cancelled.
    pub(super) async fn findings(self, stop: &CancellationToken) -> Result<Option<Findings>, store::Error> {
        let Self { api, writer, searches, expected } = self;
        let (store, run, rules) = (&writer.store, writer.fence.run, expected.rules);
        let by_name = ByName { api, searches };
        let Some(doubts) = doubts::settle(by_name, writer, rules, stop).await? else { return Ok(None) };
        let Judged { coverage, doubted, proven, barren } =
            coverage::judge(store, (run, expected.failed_cells_of), searches, &expected.covered).await?;
        let counts = store.counts(run).await?;
        let canaries = store.canaries(run).await?.unwrap_or_default();
        let canaries = canaries.accepting(|finding| rules.guard == Guard::Down && finding.is_about_missing_places());
        let none = Findings {
            doubted: doubted.into_iter().collect(),
            held_back: canaries
                .reasons()
                .into_iter()
                .chain(doubts.reason(searches))
                .chain(expected.retirement_held_back.clone())
                .collect(),
            ..Findings::none(StationMap::clone(&writer.stations))
        };
        if canaries.hold_closings() || are_too_many_rejected(counts.documents_rejected, counts.documents) {
            return Ok(Some(none));
        }
        let held = match rules.guard {
            Guard::Up => self.tally(&proven).await?.judge(rules.max_miss_share, &proven.keywords(), &barren),
            Guard::Down => Held::default(),
        };
        let reason =
            held.reason(|keyword| searches.keyword_name(keyword), |region| expected.regions.name(region).to_owned());
        if let Some(reason) = &reason {
            warn!("{reason}");
        }
        let is_accepted = |keyword, position| self.is_accepted(&held, &doubts, keyword, position);
        let unseen = store
            .misses(run, &proven.keywords(), |keyword, position| {
                proven.holds(keyword, position) && is_accepted(keyword, position)
            })
            .await?;
        // If the misses of a keyword are held back, its searches do not count as complete either.
        let is_shown = |one: &store::StationCoverage| match searches.stations.get(&one.station) {
            Some(center) => is_accepted(one.keyword, *center),
            None => !doubts.holds(one.keyword),
        };
        // After a run without rectangles, the next one in rectangles continues from the last one in rectangles.
        let is_kept = !canaries.are_rectangles_useless();
        let coverage = coverage.into_iter().filter(|one| is_kept && is_shown(one)).collect();
        let Some((missed, gone)) = part(by_name, writer, rules, unseen, stop).await? else { return Ok(None) };
        let held_back = reason.into_iter().chain(none.held_back).collect();
        Ok(Some(Findings { coverage, missed, gone, held_back, ..none }))
    }

    /// Whether the misses of a keyword at a position count.
    fn is_accepted(self, held: &Held, doubts: &Doubted, keyword: KeywordId, position: LatLng) -> bool {
        !held.holds(keyword, self.expected.regions.at(position)) && !doubts.holds(keyword)
    }

    /// Counts the matches that were searched for and those that were missed.
    async fn tally(self, proven: &Proven) -> Result<Tallies, store::Error> {
        let (store, run) = (&self.writer.store, self.writer.fence.run);
        let mut tallies = Tallies::default();
        let count = |keyword: KeywordId, position, is_found| {
            if proven.holds(keyword, position) {
                tallies.count(keyword, self.expected.regions.at(position), is_found);
            }
        };
        store.for_each_match(run, &proven.keywords(), count).await?;
        Ok(tallies)
    }
}

/// Splits misses into those that are only counted and those for which the match is dropped.
async fn part(
    by_name: ByName<'_>,
    writer: &Writer,
    rules: Rules,
    unseen: Vec<Miss>,
    stop: &CancellationToken,
) -> Result<Option<(Vec<Miss>, Vec<Miss>)>, store::Error> {
    let (gone, mut missed): (Vec<Miss>, Vec<Miss>) =
        unseen.into_iter().partition(|miss| miss.times >= rules.close_after);
    if rules.confirm_closings == 0 {
        return Ok(Some((missed, gone)));
    }
    let unmatched: Vec<NamedPlace> = writer.store.left_without_match(&gone).await?;
    let answers = confirm::ask(by_name, writer, &unmatched, rules.confirm_closings, stop).await?;
    let Some(answers) = answers else { return Ok(None) };
    let unmatched: BTreeSet<PlaceId> = unmatched.into_iter().map(|place| place.id).collect();
    // A place whose name cannot be searched for must not wait forever.
    let is_overdue = |miss: &Miss| answers.unasked.contains(&miss.place) && miss.times >= rules.close_after * 2;
    let is_gone =
        |miss: &Miss| !unmatched.contains(&miss.place) || answers.absent.contains(&miss.place) || is_overdue(miss);
    let (gone, waiting): (Vec<Miss>, Vec<Miss>) = gone.into_iter().partition(is_gone);
    missed.extend(waiting);
    missed.retain(|miss| !answers.present.contains(&miss.place));
    Ok(Some((missed, gone)))
}
