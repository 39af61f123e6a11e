//! Ends the work on cells early, when going on is useless.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Error;
use crate::domain::cell::{Ending, Outcome};
use crate::kakao;

/// Number of consecutive searches rejected as invalid by the API after which the run is abandoned. The fault is then in
/// this program, and no retry helps.
const MAX_INVALID_IN_A_ROW: u32 = 20;

/// Whether and why the work ends early.
#[derive(Debug)]
pub(super) struct EarlyEnd {
    /// Cancelled when no more requests are sent.
    pub(super) halt: CancellationToken,
    /// Cancelled when no new cell begins. Requests that were granted before are still sent.
    pub(super) no_new_cells: CancellationToken,
    reason: Mutex<Option<Reason>>,
    invalid_in_a_row: AtomicU32,
}

/// Why the work ends early.
#[derive(Debug)]
pub(super) enum Reason {
    /// The stop token fired.
    Stopped,
    /// It cannot go on.
    Failed(Error),
}

impl EarlyEnd {
    /// Ends early when `stop` fires, or for a reason of its own.
    pub(super) fn new(stop: &CancellationToken) -> Self {
        let halt = stop.child_token();
        let no_new_cells = halt.child_token();
        Self { halt, no_new_cells, reason: Mutex::new(None), invalid_in_a_row: AtomicU32::new(0) }
    }

    /// Looks at an outcome, and at the error of a cell that could not be read.
    ///
    /// Failed cells end the work only if their searches are invalid: during an outage the gate waits and no cell fails.
    /// Second attempts are not counted, because only bad cells get one.
    pub(super) fn observe(&self, outcome: &Outcome, error: Option<kakao::Error>) {
        match &outcome.ending {
            Ending::Done { .. } | Ending::Split { .. } => self.invalid_in_a_row.store(0, Relaxed),
            Ending::Failed(why) => {
                debug!(cell.no = outcome.cell.no.0, error = %why, "cell {} failed: {why}", outcome.cell.no.0);
                let is_invalid = matches!(error, Some(kakao::Error::Invalid(_))) && outcome.cell.failures == 0;
                let before = self.invalid_in_a_row.fetch_add(u32::from(is_invalid), Relaxed);
                if before + u32::from(is_invalid) >= MAX_INVALID_IN_A_ROW {
                    self.halt(Reason::Failed(Error::Invalid(why.clone())));
                }
            }
            Ending::Stopped => match error {
                Some(error @ kakao::Error::AllowanceSpent(_)) => {
                    self.keep(Reason::Failed(Error::Api(error)));
                    self.no_new_cells.cancel();
                }
                Some(kakao::Error::Stopped) | None => self.halt(Reason::Stopped),
                Some(error) => self.halt(Reason::Failed(Error::Api(error))),
            },
        }
    }

    /// Why the work has ended early; `None` if it has not.
    pub(super) fn into_reason(self) -> Option<Reason> {
        self.reason.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn halt(&self, reason: Reason) {
        self.keep(reason);
        self.halt.cancel();
    }

    /// Keeps the first reason; later ones are its consequences.
    fn keep(&self, reason: Reason) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }
}
