//! The crawl: fetches the pending cells of a run and writes their places.
//!
//! Fetching and writing are connected by a bounded channel, and the writer is a task of its own, so that neither waits for
//! the other. The ledger in the database decides what to do. Its pending cells make a queue; the sub-rectangles of a divided
//! cell enter the queue as soon as they are in the ledger. Cells that failed once are attempted again after all others.
//! Finally the run is reviewed: which areas were covered completely, and which known places were missing.

pub mod allowance;
pub mod api;
pub mod canary;
mod cell;
pub mod cover;
mod divisions;
mod early_end;
mod fetch;
pub mod known;
mod memory;
pub mod plan;
pub mod progress;
mod queue;
pub mod review;
pub mod searches;
pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info, warn};

use crate::domain::cell::{Cell, Traffic};
use crate::domain::station::StationMap;
use crate::kakao;
use crate::store::{self, Checked, Findings};
use api::Api;
use cell::Reader;
use cover::Circles;
use divisions::Divisions;
use early_end::{EarlyEnd, Reason};
use fetch::{Connections, Fetching};
use known::Known;
use queue::{Forecast, Queue};
use review::Review;
use searches::Searches;
use writer::{Inbox, Writer};

/// Maximum number of outcomes that wait for the writer.
const MAX_WAITING_OUTCOMES: usize = 64;

/// What a run will do, as it was stored when the run was opened.
#[derive(Debug)]
pub struct Plan {
    /// The stations and keywords that the cells refer to.
    pub searches: Searches,
    /// The stations in use, to list places.
    pub stations: Arc<StationMap>,
    /// The area within the radius of the stations in the scope of the run.
    pub circles: Circles,
    /// The positions of known places.
    pub known: Known,
    /// The pause between two pages of a cell.
    pub page_delay: Duration,
    /// What the review compares the results with.
    pub expected: review::Expected,
    /// The canaries, if they are still to be sent.
    pub canaries: Option<canary::Plan>,
}

/// A crawl and what it uses.
#[derive(Debug)]
pub struct Crawl {
    /// The API.
    pub api: Api,
    /// Writes the results.
    pub writer: Writer,
    /// What the run will do.
    pub plan: Arc<Plan>,
}

/// Why a crawl could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An error of the client that ends the run, such as a spent quota.
    #[error("{0}")]
    Api(kakao::Error),
    /// Too many consecutive searches were rejected as invalid; the API's message for the last one.
    #[error("the API rejected too many consecutive searches as invalid: {0}")]
    Invalid(String),
    /// The API no longer does what the run relies on.
    #[error(
        "the API has changed, so no cell was searched: {0} (to crawl all the same: `sanggwond crawl --accept-drift`)"
    )]
    Drift(String),
    /// The database failed, or another process has taken over the run.
    #[error("the database failed")]
    Store(#[from] store::Error),
}

impl Crawl {
    /// Works on the pending cells of the run until none is left, and reviews the run; `None` if the stop token is cancelled.
    ///
    /// # Errors
    /// When an error ends the run.
    pub async fn run(self, stop: CancellationToken) -> Result<Option<Findings>, Error> {
        let (store, run) = (&self.writer.store, self.writer.fence.run);
        self.recall().await?;
        if !self.send_canaries(&stop).await? {
            return Ok(None);
        }
        let reading = self.writer.progress.in_database();
        let divisions = Divisions::new(store.ledger(run).await?, &self.plan.circles, &self.plan.known);
        let forecast = Forecast::new(store.pages_before(run).await?, &self.plan.known, self.plan.circles.count());
        drop(reading);
        loop {
            let mut cells = store.pending_cells(run).await?;
            if cells.is_empty() {
                let Plan { searches, expected, .. } = &*self.plan;
                let _reviewing = self.writer.progress.in_database();
                let review = Review { api: &self.api, writer: &self.writer, searches, expected };
                return Ok(Box::pin(review.findings(&stop)).await?);
            }
            if stop.is_cancelled() {
                return Ok(None);
            }
            // Cells that failed once are attempted again after all others, because a temporary problem may have passed by then.
            if cells.iter().any(|cell| cell.failures == 0) {
                cells.retain(|cell| cell.failures == 0);
            } else {
                let second = cells.len();
                info!(cells = second, "{second} cells failed; each is attempted once more");
                if store.done_cell(run).await?.is_none() {
                    // No cell of the run is done, so the API itself may be broken.
                    self.api.client.gate().suspect();
                }
            }
            match self.work(cells, &divisions, &forecast, &stop).await? {
                None => {}
                Some(Reason::Stopped) => return Ok(None),
                Some(Reason::Failed(error)) => return Err(error),
            }
        }
    }

    /// Sends the canaries, unless the run has sent them already. Returns whether the run goes on; `false` if the stop token is
    /// cancelled.
    async fn send_canaries(&self, stop: &CancellationToken) -> Result<bool, Error> {
        let Some(plan) = &self.plan.canaries else { return Ok(true) };
        let mut traffic = Traffic::default();
        let (canaries, error) = plan.ask(&self.api, stop, &mut traffic).await;
        for finding in &canaries.findings {
            warn!("{}", finding.text);
        }
        let checked = Checked { canaries: &canaries, traffic, around_stations: &plan.around_stations };
        self.writer.record_canaries(checked).await?;
        match error {
            Some(kakao::Error::Stopped) => Ok(false),
            Some(error) => Err(Error::Api(error)),
            None => canaries.refusal().map_or(Ok(true), |why| Err(Error::Drift(why))),
        }
    }

    /// Gives the client a known good search if it has none. A resumed run may have only failing cells left; then only the
    /// search of a done cell can show whether the API works.
    async fn recall(&self) -> Result<(), store::Error> {
        if self.api.client.knows_good_search() {
            return Ok(());
        }
        let done = self.writer.store.done_cell(self.writer.fence.run).await?;
        if let Some(search) = done.and_then(|cell| self.plan.searches.of(cell)) {
            self.api.client.trust(&search);
        }
        Ok(())
    }

    /// Fetches and writes cells, with the sub-rectangles into which they are divided. Returns why it ended early, if it did.
    async fn work(
        &self,
        cells: Vec<Cell>,
        divisions: &Divisions<'_>,
        forecast: &Forecast<'_>,
        stop: &CancellationToken,
    ) -> Result<Option<Reason>, store::Error> {
        let early_end = EarlyEnd::new(stop);
        let Plan { searches, page_delay, .. } = &*self.plan;
        let halt = early_end.halt.clone();
        let reader = Reader { api: &self.api, searches, divisions, page_delay: *page_delay, halt };
        let fetching = Fetching { reader, early_end: &early_end, progress: &self.writer.progress };
        let (connections, inbox) = connect();
        let mut queue = Queue::new(forecast);
        queue.extend(cells);
        // A task of its own, so that answers are read while a batch is prepared. Dropping the set ends the task.
        let mut writing = JoinSet::new();
        writing.spawn(self.writer.clone().write_all(inbox).in_current_span());
        let written = async {
            match writing.join_next().await {
                Some(Ok(written)) => written,
                Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
                None => Ok(()),
            }
        };
        let fetched = async {
            fetching.all(queue, connections).await;
            Ok(())
        };
        tokio::try_join!(fetched, written)?;
        Ok(early_end.into_reason())
    }
}

/// The channels between fetching and the writer.
fn connect() -> (Connections, Inbox) {
    let (sender, outcomes) = mpsc::channel(MAX_WAITING_OUTCOMES);
    let (divided, receiver) = mpsc::channel(1);
    let hurry = Arc::new(Notify::new());
    let connections = Connections { outcomes: sender, divided: receiver, hurry: Arc::clone(&hurry) };
    (connections, Inbox { outcomes, divided, hurry })
}
