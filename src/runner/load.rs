//! Loads the plan of a run: its row as it was stored when the run was opened, and the stations, keywords and known places.

use std::sync::Arc;

use super::Runner;
use super::canaries::Manner;
use super::ending::Ending;
use crate::crawl::Plan;
use crate::crawl::known::Known;
use crate::crawl::plan::Selection;
use crate::crawl::review::Expected;
use crate::crawl::review::regions::Regions;
use crate::crawl::searches::Searches;
use crate::domain::run::{Coverage, RunId, Scope};
use crate::domain::station::{StationMap, StoredStation};
use crate::store::RunPlan;

impl Runner {
    /// Loads the plan of a run; `known` saves reading the known places again.
    pub(super) async fn plan(&self, run: RunId, known: Option<Known>) -> Result<Plan, Ending> {
        let stored = self.store.plan_of(run).await?;
        let RunPlan { stations, keywords, coverage, scope, radius_m, page_delay, retirement_held_back } = stored;
        let known = match (known, coverage) {
            (Some(known), _) => known,
            (None, Coverage::Complete) => Known::new(self.store.known_places().await?),
            (None, Coverage::Station) => Known::default(),
        };
        let live: Vec<StoredStation> = stations.iter().filter(|stored| !stored.is_retired).cloned().collect();
        let position = |stored: &StoredStation| (stored.id, stored.station.position);
        // If the stations of a partial-scope run have been renamed since, use all stations.
        let selection = Selection::new(&live, &keywords, &scope)
            .or_else(|_| Selection::new(&live, &keywords, &Scope::default()))
            .unwrap_or_default();
        let counts = self.store.counts(run).await?;
        self.progress.begin(&counts);
        let manner = Manner { coverage, radius_m, page_delay };
        let is_new = counts.cells_pending == counts.cells_total && scope.is_everything();
        let canaries = if is_new { self.canaries(run, &selection, manner).await? } else { None };
        let circles = selection.circles(radius_m);
        let covered = selection.stations.iter().map(|stored| position(stored)).collect();
        Ok(Plan {
            searches: Searches {
                stations: stations.iter().map(position).collect(),
                keywords: keywords.into_iter().map(|stored| (stored.id, stored.keyword)).collect(),
                radius_m,
            },
            stations: Arc::new(StationMap::new(live.iter().map(position).collect(), radius_m)),
            circles,
            known,
            page_delay,
            expected: Expected {
                covered,
                regions: Regions::of(&live),
                rules: self.settings.rules,
                retirement_held_back,
                failed_cells_of: scope.failed_cells_of,
            },
            canaries,
        })
    }
}
