//! The ground of a run, as it was opened.

use std::time::Duration;

use serde::Deserialize;

use super::Runner;
use super::ending::Ending;
use crate::config;
use crate::crawl::Ground;
use crate::crawl::known::Known;
use crate::crawl::plan::Selection;
use crate::crawl::regions::Regions;
use crate::domain::run::{Coverage, RunId, Scope};
use crate::domain::station::{StationMap, StoredStation};
use crate::store::RunGround;

/// The settings of a run's row with which it is resumed, whatever the configuration says by then.
#[derive(Debug, Deserialize)]
struct Recorded {
    radius_m: u32,
    #[serde(deserialize_with = "config::duration")]
    page_delay: Duration,
}

impl Runner {
    /// Looks up the ground of a run; what is known of it may be there already.
    pub(super) async fn ground(&self, run: RunId, known: Option<Known>) -> Result<Ground, Ending> {
        let ground = self.store.ground_of(run).await.map_err(Ending::Store)?;
        let RunGround { stations, keywords, coverage, scope, settings } = ground;
        let Recorded { radius_m, page_delay } = serde_json::from_value(settings).map_err(Ending::Unreadable)?;
        let known = match (known, coverage) {
            (Some(known), _) => known,
            (None, Coverage::Complete) => Known::new(self.store.known_positions().await.map_err(Ending::Store)?),
            (None, Coverage::Station) => Known::default(),
        };
        let live: Vec<StoredStation> = stations.iter().filter(|stored| !stored.is_retired).cloned().collect();
        let position = |stored: &StoredStation| (stored.id, stored.station.position);
        let map = StationMap::new(live.iter().map(position).collect(), radius_m);
        // A part whose stations are no longer called so is measured by all of them.
        let selection = Selection::new(&live, &keywords, &scope)
            .or_else(|_| Selection::new(&live, &keywords, &Scope::default()))
            .unwrap_or_default();
        let counts = self.store.counts(run).await.map_err(Ending::Store)?;
        self.progress.begin(counts.cells_total, counts.cells_done + counts.cells_split, counts.cells_failed);
        Ok(Ground {
            centers: stations.iter().map(position).collect(),
            covered: selection.stations.iter().map(|stored| position(stored)).collect(),
            circles: selection.circles(radius_m),
            keywords: keywords.into_iter().map(|stored| (stored.id, stored.keyword)).collect(),
            map,
            known,
            regions: Regions::of(&live),
            rules: self.settings.rules,
            page_delay,
        })
    }
}
