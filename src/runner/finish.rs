//! Finishes a run: records its end, with retries while the database is unreachable, and logs it.

use std::time::Duration;

use tracing::{error, info, warn};

use super::Runner;
use super::ending::{self, Ending};
use crate::clock;
use crate::domain::run::{RunId, Status};
use crate::shutdown::Grace;
use crate::store::{self, Counts, Fence, Findings, RunEnd, RunLock};

/// Maximum number of attempts to record the end of a run.
const ATTEMPTS: u32 = 10;

/// Time limit of one attempt, the same as for a statement, and the pause after one that failed.
const ATTEMPT_TIMEOUT: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_secs(1);

/// Minimum time for recording the end, even when the grace period is over.
const MIN_TIME: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// Its final status and the reason.
    pub end: RunEnd,
    /// Its counters since its first start.
    pub counts: Counts,
    /// How long this process worked on it.
    pub elapsed: Duration,
    /// The sum of the durations of this process's requests.
    pub in_requests: Duration,
    /// Whether it ended because the database was lost.
    pub is_database_lost: bool,
}

impl Runner {
    /// Records the end of a run within the grace period, and returns its counters.
    pub(super) async fn conclude(
        &self,
        lock: &mut RunLock,
        fence: Fence,
        ending: &Ending,
        grace: &Grace<'_>,
    ) -> Result<(RunEnd, Counts), store::Error> {
        let concluded = tokio::select! {
            concluded = self.finish_and_count(fence, ending) => concluded,
            // A lost lock does not stop this: the fence rejects the write if another process has taken over the run.
            () = async { lock.keep(|| self.alive()).await; std::future::pending().await } => unreachable!("it is pending for ever"),
            () = too_late(grace) => Err(store::Error::Silent(MIN_TIME)),
        };
        concluded.inspect_err(|error| log_failure(fence.run, error))
    }

    async fn finish_and_count(&self, fence: Fence, ending: &Ending) -> Result<(RunEnd, Counts), store::Error> {
        let counts = self.store.counts(fence.run).await;
        let end = ending::of(ending, counts.as_ref().ok(), clock::now());
        let is_through = !end.status.is_unfinished();
        let findings = if let Ending::Finished(findings) = ending
            && is_through
        {
            Some(findings.as_ref())
        } else {
            None
        };
        self.finish(fence, &end, findings).await?;
        Ok((end, self.store.counts(fence.run).await?))
    }

    /// Records the end of a run, and retries while the database is unreachable.
    async fn finish(&self, fence: Fence, end: &RunEnd, findings: Option<&Findings>) -> Result<(), store::Error> {
        // All attempts use the same instant. It identifies an earlier attempt that was stored although its reply was lost.
        let now = clock::now();
        let mut attempt = 1;
        loop {
            self.alive();
            let finished = self.store.finish_run(fence, end, findings, now);
            let finished = store::timed("writing the end of the run", finished);
            let failure = match tokio::time::timeout(ATTEMPT_TIMEOUT, finished).await {
                Ok(Err(error)) if !matches!(error, store::Error::Superseded(_)) => error,
                Ok(finished) => return finished,
                Err(_) => store::Error::Silent(ATTEMPT_TIMEOUT),
            };
            if attempt == ATTEMPTS {
                return Err(failure);
            }
            let (run, cause) = (fence.run, &failure as &dyn std::error::Error);
            warn!(error = cause, "the end of run {run} could not be recorded, attempt {attempt} of {ATTEMPTS}");
            attempt += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Waits until the grace period is over and the minimum time has passed.
async fn too_late(grace: &Grace<'_>) {
    tokio::join!(grace.over(), tokio::time::sleep(MIN_TIME));
}

fn log_failure(run: RunId, error: &store::Error) {
    let cause = error as &dyn std::error::Error;
    if matches!(error, store::Error::Superseded(_)) {
        warn!(error = cause, "run {run} was taken over by another process");
    } else {
        error!(
            error = cause,
            "the end of run {run} could not be recorded; the next process that holds the run lock corrects its row"
        );
    }
}

impl Report {
    /// Logs how the run ended; `is_wanted` means that a signal interrupted it.
    pub(super) fn log(&self, is_wanted: bool) {
        let Counts { cells_split, cells_failed, cells_pending, requests, places_new, places_changed, .. } = self.counts;
        let Counts { places_missed, places_closed, places_reopened, .. } = self.counts;
        let cells_done = self.counts.cells_done + cells_split;
        let (run, status) = (self.run, self.end.status);
        let reason = self.end.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let words = format!(
            "run {run} ended as {status}{reason}: {cells_done} cells done, {cells_failed} failed, {cells_pending} pending; \
             {requests} requests; {places_new} new places, {places_changed} changed, {places_missed} not found, {places_closed} \
             closed, {places_reopened} reopened"
        );
        // The level of an event must be known at compile time.
        macro_rules! log {
            ($level:ident) => {
                $level!(
                    run.status = %status, run.cells_done = cells_done, run.cells_split = cells_split,
                    run.cells_failed = cells_failed,
                    run.requests = requests, "{words}"
                )
            };
        }
        if status == Status::Succeeded || is_wanted {
            log!(info);
        } else {
            log!(warn);
        }
    }
}
