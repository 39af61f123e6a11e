//! Closing a run's row, again and again while the database is away, and saying how the run ended.

use std::time::Duration;

use tracing::{error, info, warn};

use super::Runner;
use super::ending::{self, Ending};
use crate::clock;
use crate::crawl::End;
use crate::domain::run::RunId;
use crate::shutdown::Grace;
use crate::store::{self, Closing, Counts, Fence, Findings, RunLock};
use crate::systemd;

/// How often the row's closing is tried where the database is away.
const CLOSING_ATTEMPTS: u32 = 10;

/// How long a try to close may take: as long as a statement. And the wait after one that failed.
const CLOSING_PATIENCE: Duration = Duration::from_mins(1);
const CLOSING_PAUSE: Duration = Duration::from_secs(1);

/// What closing may take even where the grace period is over.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its key.
    pub run: RunId,
    /// Its status and reason.
    pub closing: Closing,
    /// What it counted, from its first start on.
    pub counts: Counts,
    /// How long this process worked on it.
    pub elapsed: Duration,
    /// How long this process's requests took, all together.
    pub in_requests: Duration,
}

impl Runner {
    /// Closes the row of a run within the grace period, and says what it counts.
    pub(super) async fn conclude(
        &self,
        lock: &mut RunLock,
        fence: Fence,
        ending: &Ending,
        grace: &Grace<'_>,
    ) -> Result<(Closing, Counts), store::Error> {
        let concluded = tokio::select! {
            concluded = self.close_and_count(fence, ending) => concluded,
            // Where the lock is lost the fence decides.
            () = async { lock.keep(systemd::alive).await; std::future::pending().await } => unreachable!("it pends for ever"),
            () = too_late(grace) => Err(store::Error::Silent(LAST_WORDS)),
        };
        concluded.inspect_err(|error| tell_unclosed(fence.run, error))
    }

    async fn close_and_count(&self, fence: Fence, ending: &Ending) -> Result<(Closing, Counts), store::Error> {
        let counts = self.store.counts(fence.run).await;
        let closing = ending::of(ending, counts.as_ref().ok(), clock::now());
        let is_through = !closing.status.is_unfinished();
        let findings = if let Ending::Crawled(End::Finished(findings)) = ending
            && is_through
        {
            Some(findings.as_ref())
        } else {
            None
        };
        self.close(fence, &closing, findings).await?;
        Ok((closing, self.store.counts(fence.run).await?))
    }

    /// Closes the row, again and again while the database is away for a moment.
    async fn close(&self, fence: Fence, closing: &Closing, findings: Option<&Findings>) -> Result<(), store::Error> {
        // The same instant each time: that a try was stored whose answer was lost is told by it.
        let now = clock::now();
        let mut attempt = 1;
        loop {
            self.vitals.beat();
            systemd::alive();
            let closed = self.store.close_run(fence, closing, findings, now);
            let failure = match tokio::time::timeout(CLOSING_PATIENCE, closed).await {
                Ok(Err(error)) if !matches!(error, store::Error::Superseded(_)) => error,
                Ok(closed) => return closed,
                Err(_) => store::Error::Silent(CLOSING_PATIENCE),
            };
            if attempt == CLOSING_ATTEMPTS {
                return Err(failure);
            }
            attempt += 1;
            tokio::time::sleep(CLOSING_PAUSE).await;
        }
    }
}

/// Waits until the grace period is over and the last words were long enough.
async fn too_late(grace: &Grace<'_>) {
    tokio::join!(grace.over(), tokio::time::sleep(LAST_WORDS));
}

fn tell_unclosed(run: RunId, error: &store::Error) {
    let cause = error as &dyn std::error::Error;
    if matches!(error, store::Error::Superseded(_)) {
        warn!(run.id = %run, error = cause, "run {run} is in other hands");
    } else {
        error!(run.id = %run, error = cause, "run {run} could not be closed; the next holder of the lock puts its row right");
    }
}

impl Report {
    pub(super) fn log(&self) {
        let Counts { cells_done, cells_failed, cells_pending, requests, places_new, places_changed, .. } = self.counts;
        let Counts { places_missed, places_closed, places_reopened, .. } = self.counts;
        let reason = self.closing.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        info!(
            run.id = %self.run, run.status = %self.closing.status, run.cells_done = cells_done,
            run.cells_failed = cells_failed, run.requests = requests,
            "run {} ended as {}{reason}: {cells_done} cells done, {cells_failed} failed, {cells_pending} pending; \
             {requests} requests; {places_new} new places, {places_changed} changed, {places_missed} not found, {places_closed} \
             closed, {places_reopened} reopened",
            self.run, self.closing.status,
        );
    }
}
