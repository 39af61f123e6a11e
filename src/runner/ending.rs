//! Decides the final status of a run and its reason: a pure function of how the work ended.

use chrono::{DateTime, TimeDelta, Utc};

use crate::crawl;
use crate::domain::cell::{are_too_many_rejected, failed_twice};
use crate::domain::quota::Period;
use crate::domain::run::{Status, pause_before_resuming};
use crate::kakao;
use crate::store::{self, Counts, Findings, RunEnd};
use crate::telemetry::chain;

/// How long to wait before resuming a run that was interrupted because the API was unavailable.
const AWAY_PAUSE: TimeDelta = TimeDelta::minutes(30);

/// How the work on a run ended.
#[derive(Debug)]
pub enum Ending {
    /// No cell is pending, and the run is reviewed.
    Finished(Box<Findings>),
    /// The stop token was cancelled.
    Stopped,
    /// The grace period ended before the last answers arrived.
    GraceOver,
    /// A user cancelled the run; who, and why.
    Cancelled(String),
    /// The crawl could not go on.
    Failed(crawl::Error),
    /// The run lock was lost.
    LockLost(store::Error),
    /// A bug.
    Panicked(String),
}

impl Ending {
    /// Whether the database was lost, for example in a failover.
    #[must_use]
    pub fn is_loss_of_the_database(&self) -> bool {
        match self {
            Self::LockLost(error) | Self::Failed(crawl::Error::Store(error)) => error.may_pass(),
            Self::Failed(crawl::Error::Api(_) | crawl::Error::Invalid(_) | crawl::Error::Drift(_))
            | Self::Finished(_)
            | Self::Stopped
            | Self::GraceOver
            | Self::Cancelled(_)
            | Self::Panicked(_) => false,
        }
    }

    /// Whether a user asked for it: with a signal, or by cancelling the run.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        matches!(self, Self::Stopped | Self::GraceOver | Self::Cancelled(_))
    }
}

impl From<store::Error> for Ending {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// The status, reason and time of resumption to record for a run.
#[must_use]
pub fn of(ending: &Ending, counts: Option<&Counts>, now: DateTime<Utc>) -> RunEnd {
    let failed = |reason| RunEnd { status: Status::Failed, reason: Some(reason), resume_at: None };
    let soonest = now + pause_before_resuming(counts.map_or(0, |counts| counts.stalled_count));
    let interrupted = |reason, resume_at: DateTime<Utc>| RunEnd {
        status: Status::Interrupted,
        reason: Some(reason),
        resume_at: Some(resume_at.max(soonest)),
    };
    match ending {
        Ending::Finished(findings) => match counts {
            Some(counts) => finished(counts, &findings.held_back),
            None => interrupted("the database was unreachable when the run was finished".to_owned(), now),
        },
        Ending::Stopped => interrupted("stopped by a signal".to_owned(), now),
        Ending::GraceOver => {
            interrupted("stopped by a signal; the grace period ended before the last answers arrived".to_owned(), now)
        }
        Ending::Cancelled(reason) => RunEnd { status: Status::Cancelled, ..failed(reason.clone()) },
        Ending::Failed(crawl::Error::Api(error)) => match error {
            // The key must be corrected by a person. A restart of the daemon tries it again.
            kakao::Error::KeyRefused(_) => RunEnd { resume_at: Some(now), ..failed(error.to_string()) },
            kakao::Error::QuotaSpent(_) => interrupted(error.to_string(), Period::Day.end(now)),
            kakao::Error::AllowanceSpent(spent) => interrupted(error.to_string(), spent.period.end(now)),
            kakao::Error::Away { .. } => interrupted(error.to_string(), now + AWAY_PAUSE),
            kakao::Error::Cell(_) | kakao::Error::Invalid(_) | kakao::Error::Stopped | kakao::Error::Allowance(_) => {
                interrupted(error.to_string(), now)
            }
        },
        Ending::Failed(error @ (crawl::Error::Invalid(_) | crawl::Error::Drift(_))) => failed(error.to_string()),
        Ending::Failed(crawl::Error::Store(error)) => interrupted(chain(error), now),
        Ending::LockLost(error) => interrupted(format!("the lock was lost: {}", chain(error)), now),
        Ending::Panicked(message) => failed(format!("a bug: {message}")),
    }
}

fn finished(counts: &Counts, held_back: &[String]) -> RunEnd {
    let Counts { cells_failed, documents_rejected, documents, .. } = *counts;
    let failures = (cells_failed > 0).then(|| failed_twice(cells_failed));
    let rejected = are_too_many_rejected(documents_rejected, documents).then(|| {
        let example =
            counts.rejected_example.as_deref().map(|example| format!(", such as {example}")).unwrap_or_default();
        format!("{documents_rejected} of {documents} documents were rejected{example}; no place was counted as missing")
    });
    let limit = counts.limit_reached.clone();
    let reasons: Vec<String> =
        failures.into_iter().chain(limit).chain(rejected).chain(held_back.iter().cloned()).collect();
    let status = if reasons.is_empty() { Status::Succeeded } else { Status::Partial };
    RunEnd { status, reason: (!reasons.is_empty()).then(|| reasons.join("; ")), resume_at: None }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::quota::{Spent, day_of};
    use crate::domain::station::StationMap;
    use crate::store::Findings;

    fn now() -> DateTime<Utc> {
        "2026-11-22T18:07:00Z".parse().unwrap()
    }

    fn counts(cells_failed: i32) -> Counts {
        Counts {
            cells_total: 10,
            cells_done: 10 - cells_failed,
            cells_failed,
            requests: 10,
            documents: 10_000,
            ..Counts::default()
        }
    }

    fn finished_with(held_back: Option<&str>) -> Ending {
        let none = Findings::none(StationMap::new(Vec::new(), 1000));
        Ending::Finished(Box::new(Findings { held_back: held_back.map(str::to_owned).into_iter().collect(), ..none }))
    }

    fn api_failed(error: kakao::Error) -> RunEnd {
        of(&Ending::Failed(crawl::Error::Api(error)), Some(&counts(0)), now())
    }

    #[test]
    fn a_run_succeeds_only_if_no_cell_failed_and_no_miss_was_held_back() {
        let end = |held_back, counts: Option<Counts>| of(&finished_with(held_back), counts.as_ref(), now());

        assert_eq!(end(None, Some(counts(0))).status, Status::Succeeded);
        assert_eq!(end(None, Some(counts(1))).status, Status::Partial);
        assert_eq!(end(None, None).status, Status::Interrupted);
        let both = end(Some("too many"), Some(counts(1)));
        assert_eq!(both.reason.as_deref(), Some("1 cell failed twice; see the view run_failure; too many"));
        assert_eq!(end(Some("too many"), Some(counts(0))).status, Status::Partial);
    }

    #[test]
    fn a_run_that_rejected_more_than_one_percent_of_its_documents_is_partial_and_its_reason_shows_one() {
        let example = Some("place 17: no position (x \"\", y \"\")".to_owned());
        let with = |documents_rejected| Counts { documents_rejected, rejected_example: example.clone(), ..counts(0) };
        let end = |counts| of(&finished_with(None), Some(&counts), now());

        assert_eq!(end(with(100)).status, Status::Succeeded);
        let partial = end(with(101));
        let reason = "101 of 10000 documents were rejected, such as place 17: no position (x \"\", y \"\"); no place was \
                      counted as missing";
        assert_eq!((partial.status, partial.reason.as_deref()), (Status::Partial, Some(reason)));
    }

    #[test]
    fn a_run_that_reached_its_limit_of_cells_is_partial_and_its_reason_shows_it() {
        let limit_reached = Some(format!("{} 50000 cells", crate::domain::cell::OVER_LIMIT));
        let counts = Counts { limit_reached, ..counts(1) };

        let end = of(&finished_with(None), Some(&counts), now());

        let reason = "1 cell failed twice; see the view run_failure; the run has reached its limit of 50000 cells";
        assert_eq!((end.status, end.reason.as_deref()), (Status::Partial, Some(reason)));
    }

    #[test]
    fn a_run_that_exhausted_the_quota_is_resumed_at_midnight_in_seoul() {
        let end = api_failed(kakao::Error::QuotaSpent(String::new()));

        assert_eq!(end.status, Status::Interrupted);
        assert_eq!(end.resume_at, Some("2026-11-23T15:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_run_that_used_up_the_month_is_resumed_next_month() {
        let spent = Spent { day: day_of(now()), period: Period::Month, quota: 25_000 };

        let end = api_failed(kakao::Error::AllowanceSpent(spent));

        assert_eq!(end.resume_at, Some("2026-11-30T15:00:00Z".parse().unwrap()));
        let reason = "the quota is spent: all 25000 requests of 2026-11 are used (kakao.monthly_quota); the next ones are \
                      granted on 2026-12-01 in Seoul";
        assert_eq!(end.reason.as_deref(), Some(reason));
    }

    #[test]
    fn a_run_interrupted_by_an_unavailable_api_is_resumed_after_half_an_hour() {
        let away = kakao::Error::Away { silence: Duration::from_mins(30), last: "503: maintenance".to_owned() };

        let end = api_failed(away);

        assert_eq!(end.resume_at, Some(now() + TimeDelta::minutes(30)));
        assert_eq!(end.reason.as_deref(), Some("no good answer for 30m: 503: maintenance"));
    }

    #[test]
    fn a_run_without_progress_waits_before_it_is_resumed() {
        let stalled = Counts { stalled_count: 4, ..counts(0) };

        let end = of(&store::Error::Silent(Duration::ZERO).into(), Some(&stalled), now());

        assert_eq!(end.resume_at, Some(now() + TimeDelta::seconds(40)));
    }

    #[test]
    fn a_refused_key_and_a_bug_are_failures() {
        let refused = api_failed(kakao::Error::KeyRefused(String::new()));
        let bug = of(&Ending::Panicked(String::new()), None, now());

        assert_eq!((refused.status, refused.resume_at), (Status::Failed, Some(now())), "a restart resumes it");
        assert_eq!((bug.status, bug.resume_at), (Status::Failed, None));
    }
}
