//! The crawl: cells are fetched, and what they bring is written.
//!
//! Fetching and writing are two futures joined by a bounded channel, so neither stands still for the other. The ledger in
//! the database decides what is to do: a pass works on all pending cells, and passes follow until none is pending. The
//! cells of a further pass are the pieces of those that were split, and those that failed once. Then it is looked back on
//! what all of them prove: what is complete, and what was looked for and is not there.

pub mod allowance;
mod cell;
mod confirm;
pub mod cover;
mod coverage;
mod guard;
pub mod known;
pub mod plan;
pub mod progress;
mod proven;
pub mod regions;
pub mod review;
mod writer;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::domain::cell::{Cell, Ending, Outcome};
use crate::domain::geo::LatLng;
use crate::domain::keyword::{Keyword, KeywordId};
use crate::domain::station::{StationId, StationMap};
use crate::kakao::{self, Allowance, Client};
use crate::store::{self, Fence, Findings, Store};
use cover::Circles;
use known::Known;
use progress::Progress;
use regions::Regions;
use review::Rules;

/// Cells that may be open at a time, most of them in their page delay.
const MAX_OPEN_CELLS: usize = 256;

/// Outcomes that may wait for the writer.
const MAX_WAITING_OUTCOMES: usize = 64;

/// So many cells failing in a row mean that it is not the cells' fault.
const HOPELESS_AFTER: u32 = 20;

/// What a crawl needs to know of the ground.
#[derive(Debug)]
pub struct Ground {
    /// Where the stations of the cells are, retired ones included.
    pub centers: BTreeMap<StationId, LatLng>,
    /// What the keywords of the cells are.
    pub keywords: BTreeMap<KeywordId, Keyword>,
    /// The live stations, for the listings.
    pub map: StationMap,
    /// The stations in the scope of the run, and the ground around them.
    pub covered: Vec<(StationId, LatLng)>,
    /// That ground, for rectangles.
    pub circles: Circles,
    /// Where places are known to be.
    pub known: Known,
    /// The regions of the stations.
    pub regions: Regions,
    /// When a place that was not found is taken for gone.
    pub rules: Rules,
    /// The pause between the pages of a cell.
    pub page_delay: Duration,
}

/// What a crawl works with.
#[derive(Debug)]
pub struct Crawl<'a, A> {
    /// The API.
    pub client: &'a Client,
    /// The day's quota.
    pub allowance: &'a A,
    /// The database.
    pub store: &'a Store,
    /// The run that it works for.
    pub fence: Fence,
    /// The ground.
    pub ground: &'a Ground,
    /// What an onlooker sees.
    pub progress: &'a Progress,
}

/// How a crawl ended.
#[derive(Clone, Debug)]
pub enum End {
    /// No cell is pending any more, and this is what all of them prove.
    Finished(Box<Findings>),
    /// The stop token fired.
    Stopped,
    /// The API ended it.
    Cut(kakao::Error),
    /// Nothing but failures, the last of which is given.
    Hopeless(String),
}

impl<A: Allowance> Crawl<'_, A> {
    /// Works on the run's pending cells until none is left or something ends it.
    ///
    /// # Errors
    /// When the database fails or the run is no longer ours.
    pub async fn run(&self, stop: &CancellationToken) -> Result<End, store::Error> {
        loop {
            let mut cells = self.store.pending_cells(self.fence.run).await?;
            if cells.is_empty() {
                let findings = Box::pin(review::of(self, stop)).await?;
                return Ok(findings.map_or(End::Stopped, |findings| End::Finished(Box::new(findings))));
            }
            if stop.is_cancelled() {
                return Ok(End::Stopped);
            }
            // A second chance comes at the end, as long after the first as may be.
            if cells.iter().any(|cell| cell.chances == 0) {
                cells.retain(|cell| cell.chances == 0);
            } else {
                let second = cells.len();
                info!(run.id = %self.fence.run, cells = second, "{second} cells failed, each gets a second chance");
            }
            let pass = Pass::new(stop);
            self.pass(&pass, cells).await?;
            if let Some(end) = pass.end.into_inner() {
                return Ok(end);
            }
        }
    }

    async fn pass(&self, pass: &Pass, cells: Vec<Cell>) -> Result<(), store::Error> {
        let (outcomes, inbox) = mpsc::channel(MAX_WAITING_OUTCOMES);
        let fetch = async move {
            stream::iter(cells)
                .take_until(pass.last_call.cancelled())
                .for_each_concurrent(MAX_OPEN_CELLS, |cell| self.fetch(pass, cell, outcomes.clone()))
                .await;
            Ok(())
        };
        tokio::try_join!(fetch, writer::write_all(self, inbox)).map(drop)
    }

    async fn fetch(&self, pass: &Pass, cell: Cell, outcomes: mpsc::Sender<Outcome>) {
        if pass.last_call.is_cancelled() {
            return;
        }
        let (outcome, end) = cell::read(self, cell, &pass.halt).await;
        self.progress.took(&outcome);
        pass.observe(&outcome, end);
        // A cell that was never asked for has nothing to tell. Nobody listens once a write has failed, and that failure
        // ends the crawl.
        if outcome.traffic.requests > 0 {
            outcomes.send(outcome).await.ok();
        }
    }
}

/// One pass over the pending cells, and what may end it early.
struct Pass {
    halt: CancellationToken,
    /// No new cell is begun, but what was granted is still sent.
    last_call: CancellationToken,
    end: OnceCell<End>,
    failed_in_a_row: RefCell<u32>,
}

impl Pass {
    fn new(stop: &CancellationToken) -> Self {
        let halt = stop.child_token();
        Self { last_call: halt.child_token(), halt, end: OnceCell::new(), failed_in_a_row: RefCell::new(0) }
    }

    /// Looks whether going on makes sense. Second chances are not counted as failing in a row: they are bad cells by
    /// selection, and prove nothing against the API.
    fn observe(&self, outcome: &Outcome, error: Option<kakao::Error>) {
        let mut failed_in_a_row = self.failed_in_a_row.borrow_mut();
        match &outcome.ending {
            Ending::Done { .. } | Ending::Split { .. } => *failed_in_a_row = 0,
            Ending::Failed(why) => {
                debug!(cell.no = outcome.cell.no.0, error = %why, "cell {} failed: {why}", outcome.cell.no.0);
                *failed_in_a_row += u32::from(outcome.cell.chances == 0);
                if *failed_in_a_row >= HOPELESS_AFTER {
                    self.halt(End::Hopeless(why.clone()));
                }
            }
            Ending::Stopped => match error {
                Some(error @ kakao::Error::AllowanceSpent(_)) => {
                    self.end.set(End::Cut(error)).ok();
                    self.last_call.cancel();
                }
                Some(kakao::Error::Stopped) | None => self.halt(End::Stopped),
                Some(error) => self.halt(End::Cut(error)),
            },
        }
    }

    fn halt(&self, end: End) {
        // The first reason is the true one: the others follow from it.
        self.end.set(end).ok();
        self.halt.cancel();
    }
}
