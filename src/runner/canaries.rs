//! Chooses what the canaries of a run ask for.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Runner;
use crate::crawl::canary::{self, Heed, KNOWN_PLACES, MOST_NAMES, Subject};
use crate::crawl::plan::Selection;
use crate::crawl::review::rules::Guard;
use crate::domain::geo::Circle;
use crate::domain::run::{Coverage, RunId};
use crate::store::{self, Store, Wanted};

/// Number of stations among which a familiar one is looked for.
const SAMPLE: usize = 20;

/// How a run searches.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// How it searches the area around the stations.
    pub coverage: Coverage,
    /// Its radius around a station, in metres.
    pub radius_m: u32,
    /// The pause between two pages of a search.
    pub page_delay: Duration,
}

impl Runner {
    /// The canaries of a run that has searched no cell; `None` if they were sent before, or are switched off. If they refused
    /// the run and its end was not recorded, they are sent again.
    pub(super) async fn canaries(
        &self,
        run: RunId,
        selection: &Selection<'_>,
        manner: Manner,
    ) -> Result<Option<canary::Plan>, store::Error> {
        let sent = self.store.canaries(run).await?.unwrap_or_default();
        if (sent.is_finished && sent.refusal().is_none()) || self.settings.heed == Heed::Off {
            return Ok(None);
        }
        let in_use = Selection {
            keywords: selection.keywords.iter().filter(|stored| !stored.is_retired).copied().collect(),
            stations: selection.stations.clone(),
        };
        Ok(subject(&self.store, &in_use, manner, run.0).await?.map(|subject| canary::Plan {
            subject,
            around_stations: in_use.around_stations(),
            heed: self.settings.heed,
            earlier_requests: sent.requests,
            are_closings_accepted: self.settings.rules.guard == Guard::Down,
        }))
    }
}

/// What the canaries of a run ask for; `None` if it has no station or no keyword. Different numbers choose different stations.
///
/// # Errors
/// When the database fails.
pub async fn subject(
    store: &Store,
    selection: &Selection<'_>,
    manner: Manner,
    number: i64,
) -> Result<Option<Subject>, store::Error> {
    let Manner { coverage, radius_m, page_delay } = manner;
    let stations = &selection.stations;
    let (Some(first), Some(keyword)) = (stations.first(), selection.keywords.first()) else { return Ok(None) };
    let start = usize::try_from(number).unwrap_or_default().wrapping_mul(SAMPLE) % stations.len();
    let sample: Vec<_> =
        stations.iter().cycle().skip(start).take(SAMPLE.min(stations.len())).map(|stored| stored.id).collect();
    let wanted = Wanted { stations: &sample, radius_m, places: KNOWN_PLACES, names: MOST_NAMES, number };
    let familiar = store.familiar(wanted).await?;
    let chosen = familiar.pair.and_then(|(station, keyword)| {
        let station = stations.iter().find(|stored| stored.id == station)?;
        Some((station, selection.keywords.iter().find(|stored| stored.id == keyword)?))
    });
    let (station, keyword, known, radius_m_of_circle) = match chosen {
        None => (first, keyword, BTreeSet::new(), radius_m),
        Some((station, keyword)) => {
            // If there are more places, the circle ends behind the last one that is known; all at its distance are known, too.
            let farthest_m = familiar.places.last().map_or(0, |(_, distance_m)| distance_m.unsigned_abs());
            let is_all = familiar.places.len() == familiar.count;
            let circle_m = if is_all { radius_m } else { radius_m.min(farthest_m + 1) };
            (station, keyword, familiar.places.into_iter().map(|(id, _)| id).collect(), circle_m)
        }
    };
    Ok(Some(Subject {
        keyword: keyword.keyword.clone(),
        near: station.station.name.clone(),
        circle: Circle { center: station.station.position, radius_m: radius_m_of_circle },
        known,
        named: familiar.named,
        radius_m,
        coverage,
        page_delay,
    }))
}
