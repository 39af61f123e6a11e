//! Opens a run: chooses its stations and keywords, and retires those that the configuration no longer contains.
//!
//! A partial-scope run adds its stations and keywords and changes nothing else. A full run retires every station and
//! keyword that was removed from the configuration. If that removes a lot and nobody has confirmed it, the run keeps
//! them and logs a warning.

use std::fmt;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{Span, info, warn};

use super::{Error, Opened, Request, Runner};
use crate::clock;
use crate::crawl::known::Known;
use crate::crawl::plan::{self, Selection};
use crate::domain::inventory::{Difference, Inventory};
use crate::domain::run::{Coverage, RunId, Scope, Trigger};
use crate::domain::words::{count, first_few};
use crate::shutdown::beside;
use crate::store::{self, FailedCells, NewRun, Opening, PlannedCell, RowsLost, Store};

/// Retiring more than one in this many stations, or rows of `local_info`, needs a confirmation.
const ONE_IN: i64 = 10;

/// Whether the retirement of many stations or keywords was confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retiring {
    /// It was not confirmed: large retirements are held back.
    #[default]
    Guarded,
    /// It was confirmed.
    Confirmed,
}

/// What the next full run would change in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// What it adds and retires.
    pub difference: Difference,
    /// How many rows of `local_info` it removes.
    pub rows: RowsLost,
    /// How many stations are in use now.
    stations: usize,
}

impl Preview {
    /// Computes what storing an inventory would change.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(store: &Store, inventory: &Inventory) -> Result<Self, store::Error> {
        let stored = store.inventory().await?;
        let difference = Difference::between(&stored, inventory);
        let rows = if difference.takes_away() { store.rows_lost(&difference).await? } else { RowsLost::default() };
        Ok(Self { difference, rows, stations: stored.live_stations().count() })
    }

    /// Whether it removes so much that a daemon holds the retirement back.
    #[must_use]
    pub fn takes_a_lot(&self) -> bool {
        let is_a_lot = |part: i64, whole: i64| part.saturating_mul(ONE_IN) > whole;
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let stations = is_a_lot(count(self.difference.retired_stations.len()), count(self.stations));
        self.difference.takes_away() && (stations || is_a_lot(self.rows.lost, self.rows.total))
    }

    /// The JSON for the run's row; `None` if nothing is retired.
    fn recorded(&self) -> Option<serde_json::Value> {
        let Difference { retired_stations, retired_keywords, radius_m, .. } = &self.difference;
        self.difference.takes_away().then(|| {
            json!({
                "stations": retired_stations.iter().map(|(_, name)| name).collect::<Vec<_>>(),
                "keywords": retired_keywords.iter().map(|(_, query)| query).collect::<Vec<_>>(),
                "radius_m": radius_m.map(|(from, to)| json!({"from": from, "to": to})),
                "rows": self.rows.lost,
            })
        })
    }

    /// Logs every retired station and keyword by name.
    fn log(&self) {
        for (_, query) in &self.difference.retired_keywords {
            warn!(keyword = %query, "keyword {query} is retired: it is no longer in crawl.keywords");
        }
        for (station, name) in &self.difference.retired_stations {
            warn!(station.id = station.0, station.name = %name, "station {name} is retired: it is no longer in the station file");
        }
        if let Some((from, to)) = self.difference.radius_m {
            warn!(from_m = from, to_m = to, "the radius changes from {from} m to {to} m");
        }
    }
}

/// `9 keywords, 12,732 of 15,780 rows of local_info: 식당, 호프, …`
impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowsLost { lost, total } = self.rows;
        write!(f, "{}, {} of {} rows of local_info", self.difference, count(lost), count(total))?;
        match self.difference.retired_names().as_slice() {
            [] => Ok(()),
            names => write!(f, ": {}", first_few(names)),
        }
    }
}

/// The stations and keywords that a run is opened with.
struct Chosen {
    /// What is stored.
    inventory: Inventory,
    /// The part of it that the run searches.
    crawled: Inventory,
    retired: Option<Preview>,
    held_back: Option<Preview>,
}

impl Runner {
    /// Computes what a full run would change if it were opened now.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn preview(&self) -> Result<Preview, store::Error> {
        Preview::of(&self.store, &self.inventory).await
    }

    /// Checks that a new run of this scope can be opened.
    ///
    /// # Errors
    /// When it names what does not exist, or the database fails.
    pub async fn check(&self, scope: &Scope) -> Result<(), Error> {
        if let Some(run) = scope.failed_cells_of {
            self.failed_cells(run).await?;
        }
        self.choose(scope).await.map(drop)
    }

    async fn choose(&self, scope: &Scope) -> Result<Chosen, Error> {
        if scope.failed_cells_of.is_some() {
            let stored = Inventory::of(&self.store.inventory().await?, self.inventory.radius_m);
            return Ok(Chosen { crawled: stored.clone(), inventory: stored, retired: None, held_back: None });
        }
        let crawled = plan::part(&self.inventory, scope)?;
        if !scope.is_everything() {
            let inventory = crawled.limited(&self.store.inventory().await?);
            return Ok(Chosen { inventory, crawled, retired: None, held_back: None });
        }
        let preview = self.preview().await?;
        if preview.takes_a_lot() && self.settings.retiring == Retiring::Guarded {
            let inventory = self.inventory.keeping(&self.store.inventory().await?);
            return Ok(Chosen { crawled: inventory.clone(), inventory, retired: None, held_back: Some(preview) });
        }
        Ok(Chosen { inventory: crawled.clone(), crawled, retired: Some(preview), held_back: None })
    }

    /// The failed cells of a run, which a new run reads again.
    async fn failed_cells(&self, run: RunId) -> Result<FailedCells, Error> {
        let failed = self.store.failed_cells(run).await?.ok_or(plan::Error::UnknownRun(run))?;
        if failed.cells.is_empty() {
            return Err(plan::Error::NoFailedCells(run).into());
        }
        let stored = self.store.inventory().await?.radius_m.unwrap_or(failed.radius_m);
        if stored != failed.radius_m {
            return Err(plan::Error::OtherRadius { run, of_run_m: failed.radius_m, now_m: stored }.into());
        }
        Ok(failed)
    }

    /// Opens a run.
    pub(super) async fn open(&self, request: &Request) -> Result<Opened, Error> {
        let Request { trigger, scheduled_for, scope, request: answered, late_because } = request;
        let now = clock::now();
        let settings = &self.settings;
        let again = match scope.failed_cells_of {
            Some(run) => Some(self.failed_cells(run).await?),
            None => None,
        };
        let coverage = again.as_ref().map_or(settings.coverage, |again| again.coverage);
        let known = match coverage {
            Coverage::Complete => {
                let places = store::timed("reading the known places", self.store.known_places()).await?;
                Some(Known::new(places))
            }
            Coverage::Station => None,
        };
        let Chosen { inventory, crawled, retired, held_back } = self.choose(scope).await?;
        if inventory.radius_m != self.inventory.radius_m {
            let (kept, wanted) = (inventory.radius_m, self.inventory.radius_m);
            warn!(
                "this run uses the stored radius of {kept} m; a confirmed full run changes it to the configured {wanted} m"
            );
        }
        let opening = self.store.open_run(&inventory, now);
        let opening = store::timed("storing the stations and keywords", opening).await?;
        let (cells, known) = match again {
            Some(again) => (again.cells, known),
            None => plan_cells(&opening, &crawled, inventory.radius_m, known).await?,
        };
        let held_back = held_back.map(|preview| {
            format!("not retired without confirmation: {preview}; `sanggwond crawl --retire` confirms it")
        });
        let mut recorded = settings.recorded.clone();
        recorded["keywords"] = crawled.keywords.iter().map(ToString::to_string).collect();
        let new = NewRun {
            trigger: *trigger,
            scheduled_for: *scheduled_for,
            coverage,
            scope: (!scope.is_everything()).then(|| scope.clone()),
            radius_m: inventory.radius_m,
            page_delay: settings.page_delay,
            settings: recorded,
            retired: retired.as_ref().and_then(Preview::recorded),
            retirement_held_back: held_back.clone(),
            request: *answered,
            late_because: late_because.clone(),
            host: settings.host.clone(),
        };
        let what = format!("storing the plan of {} cells", cells.len());
        let fence = store::timed(&what, opening.insert(&new, &cells, now)).await?;
        announce(fence.run, *trigger, cells.len());
        if let Some(retired) = &retired {
            retired.log();
        }
        if let Some(reason) = held_back {
            warn!("{reason}");
        }
        Ok(Opened { fence, known })
    }
}

/// Plans the cells of a run on a blocking thread, because it takes seconds for many stations.
async fn plan_cells(
    opening: &Opening,
    crawled: &Inventory,
    radius_m: u32,
    known: Option<Known>,
) -> Result<(Vec<PlannedCell>, Option<Known>), plan::Error> {
    let (stations, keywords) = (opening.stations.clone(), opening.keywords.clone());
    let crawled = crawled.clone();
    let planning = move || {
        let selection = Selection::of(&stations, &keywords, &crawled)?;
        let cells = match &known {
            Some(known) => selection.in_rectangles(radius_m, known),
            None => selection.around_stations(),
        };
        Ok((cells, known))
    };
    // Stopping the run drops this future, so no stop token is needed here.
    beside(&CancellationToken::new(), planning).await.expect("the token is local and never cancelled")
}

fn announce(run: RunId, trigger: Trigger, cells: usize) {
    Span::current().record("run.id", run.0);
    info!(run.trigger = %trigger, cells, "run {run} started: {cells} cells");
}
