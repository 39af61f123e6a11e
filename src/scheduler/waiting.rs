//! What the daemon is waiting for while it has no run in progress, as text for the systemd status.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;

use crate::domain::run::{RunRecord, Status};

/// What the daemon is waiting for; empty if only for the next tick.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Option<String>>);

impl Waiting {
    /// What the daemon is waiting for.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets it, and returns whether it has changed.
    pub(super) fn set(&self, what: Option<String>) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = *waiting != what;
        *waiting = what;
        is_news
    }
}

/// The unfinished run whose time to resume has not come yet, as text.
pub(super) fn for_a_run(history: &[RunRecord], now: DateTime<Utc>) -> Option<String> {
    let is_waiting = |run: &&RunRecord| run.status == Status::Interrupted && run.is_full;
    let run = history.iter().filter(is_waiting).max_by_key(|run| run.id)?;
    let resume_at = run.resume_at.filter(|at| *at > now)?;
    Some(format!(
        "run {} will be resumed at {} (Seoul)",
        run.id,
        resume_at.with_timezone(&Seoul).format("%a %Y-%m-%d %H:%M:%S")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::{RunId, Trigger};

    #[test]
    fn the_text_names_a_run_only_if_its_time_to_resume_has_not_come() {
        let now: DateTime<Utc> = "2026-11-22T18:00:00Z".parse().unwrap();
        let run = |status, resume_at: &str| RunRecord {
            id: RunId(7),
            trigger: Trigger::Schedule,
            scheduled_for: None,
            status,
            started_at: now,
            finished_at: None,
            heartbeat_at: now,
            resume_at: Some(resume_at.parse().unwrap()),
            resumed_count: 0,
            is_full: true,
            is_requested: false,
        };

        let waiting = for_a_run(&[run(Status::Interrupted, "2026-11-23T15:00:00Z")], now);
        assert_eq!(waiting.as_deref(), Some("run 7 will be resumed at Tue 2026-11-24 00:00:00 (Seoul)"));
        assert_eq!(for_a_run(&[run(Status::Interrupted, "2026-11-22T17:00:00Z")], now), None);
        assert_eq!(for_a_run(&[run(Status::Failed, "2026-11-23T15:00:00Z")], now), None);
    }
}
