//! What a run's row says in the end: a pure rule.

use chrono::{DateTime, TimeDelta, Utc};

use crate::crawl::End;
use crate::domain::run::{Status, pause_before_resuming};
use crate::kakao::{self, quota};
use crate::store::{self, Closing, Counts};

/// How long an API that was given up is left alone.
const AWAY_PAUSE: TimeDelta = TimeDelta::minutes(30);

/// How the work on a run ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The crawl came to an end of its own.
    Crawled(End),
    /// The database failed.
    Store(store::Error),
    /// The lock is gone.
    LockLost(store::Error),
    /// The grace period was too short.
    GraceOver,
    /// Its settings are not what this version writes.
    Unreadable(serde_json::Error),
    /// A bug.
    Panicked(String),
}

/// The last words of a run.
pub(super) fn of(ending: &Ending, counts: Option<&Counts>, now: DateTime<Utc>) -> Closing {
    let failed = |reason| Closing { status: Status::Failed, reason: Some(reason), resume_at: None };
    let soonest = now + pause_before_resuming(counts.map_or(0, |counts| counts.stalled_count));
    let interrupted = |reason, resume_at: DateTime<Utc>| Closing {
        status: Status::Interrupted,
        reason: Some(reason),
        resume_at: Some(resume_at.max(soonest)),
    };
    match ending {
        Ending::Crawled(End::Finished(findings)) => match counts {
            Some(counts) => finished(counts.cells_failed, findings.held_back.as_deref()),
            None => interrupted("the database was gone at the end".to_owned(), now),
        },
        Ending::Crawled(End::Stopped) => interrupted("stopped by a signal".to_owned(), now),
        Ending::Crawled(End::Hopeless(why)) => failed(format!("nothing but failures: {why}")),
        Ending::Crawled(End::Cut(error)) => match error {
            // Somebody has to mend the key; a restart says that it is mended.
            kakao::Error::KeyRefused(_) => Closing { resume_at: Some(now), ..failed(error.to_string()) },
            kakao::Error::QuotaSpent(_) | kakao::Error::AllowanceSpent(_) => {
                interrupted(error.to_string(), quota::next_day(now))
            }
            kakao::Error::Away { .. } => interrupted(error.to_string(), now + AWAY_PAUSE),
            kakao::Error::Cell(_) | kakao::Error::Stopped | kakao::Error::Allowance(_) => {
                interrupted(error.to_string(), now)
            }
        },
        Ending::Store(error) => interrupted(chain(error), now),
        Ending::LockLost(error) => interrupted(format!("the lock was lost: {}", chain(error)), now),
        Ending::GraceOver => interrupted("stopped by a signal; the last answers came too late".to_owned(), now),
        Ending::Unreadable(error) => failed(format!("settings that this version cannot read: {error}")),
        Ending::Panicked(message) => failed(format!("a bug: {message}")),
    }
}

fn finished(cells_failed: i32, held_back: Option<&str>) -> Closing {
    let failures = (cells_failed > 0).then(|| {
        let cells = if cells_failed == 1 { "1 cell".to_owned() } else { format!("{cells_failed} cells") };
        format!("{cells} failed twice; run_failure says why")
    });
    let reasons: Vec<String> = failures.into_iter().chain(held_back.map(str::to_owned)).collect();
    let status = if reasons.is_empty() { Status::Succeeded } else { Status::Partial };
    Closing { status, reason: (!reasons.is_empty()).then(|| reasons.join("; ")), resume_at: None }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::station::StationMap;
    use crate::store::Findings;

    fn now() -> DateTime<Utc> {
        "2026-11-22T18:07:00Z".parse().unwrap()
    }

    fn counts(cells_failed: i32) -> Counts {
        Counts {
            cells_total: 10,
            cells_split: 0,
            cells_done: 10 - cells_failed,
            cells_failed,
            cells_pending: 0,
            cells_truncated: 0,
            requests: 10,
            retries: 0,
            throttled: 0,
            documents_rejected: 0,
            places_seen: 0,
            places_new: 0,
            places_changed: 0,
            places_missed: 0,
            places_closed: 0,
            places_reopened: 0,
            stalled_count: 0,
        }
    }

    fn through(held_back: Option<&str>) -> End {
        End::Finished(Box::new(Findings {
            stations: StationMap::new(Vec::new(), 1000),
            coverage: Vec::new(),
            doubted: Vec::new(),
            missed: Vec::new(),
            gone: Vec::new(),
            held_back: held_back.map(str::to_owned),
        }))
    }

    fn closing(end: End) -> Closing {
        of(&Ending::Crawled(end), Some(&counts(0)), now())
    }

    #[test]
    fn a_run_succeeded_only_where_no_cell_failed_and_no_miss_was_held_back() {
        let through =
            |held_back, counts: Option<Counts>| of(&Ending::Crawled(through(held_back)), counts.as_ref(), now());

        assert_eq!(through(None, Some(counts(0))).status, Status::Succeeded);
        assert_eq!(through(None, Some(counts(1))).status, Status::Partial);
        assert_eq!(through(None, None).status, Status::Interrupted);
        let both = through(Some("too many"), Some(counts(1)));
        assert_eq!(both.reason.as_deref(), Some("1 cell failed twice; run_failure says why; too many"));
        assert_eq!(through(Some("too many"), Some(counts(0))).status, Status::Partial);
    }

    #[test]
    fn a_spent_quota_goes_on_at_midnight_in_seoul() {
        let closing = closing(End::Cut(kakao::Error::QuotaSpent(String::new())));

        assert_eq!(closing.status, Status::Interrupted);
        assert_eq!(closing.resume_at, Some("2026-11-23T15:00:00Z".parse().unwrap()));
    }

    #[test]
    fn an_api_that_is_away_is_tried_again_after_half_an_hour() {
        let away = kakao::Error::Away { silence: Duration::from_mins(30), last: "503: maintenance".to_owned() };

        let closing = closing(End::Cut(away));

        assert_eq!(closing.resume_at, Some(now() + TimeDelta::minutes(30)));
        assert_eq!(closing.reason.as_deref(), Some("no good answer for 30m: 503: maintenance"));
    }

    #[test]
    fn a_run_that_does_not_get_on_waits_before_it_is_taken_up_again() {
        let stalled = Counts { stalled_count: 4, ..counts(0) };

        let closing = of(&Ending::Store(store::Error::Silent(Duration::ZERO)), Some(&stalled), now());

        assert_eq!(closing.resume_at, Some(now() + TimeDelta::seconds(40)));
    }

    #[test]
    fn a_refused_key_and_a_bug_are_failures() {
        let refused = closing(End::Cut(kakao::Error::KeyRefused(String::new())));
        let bug = of(&Ending::Panicked(String::new()), None, now());

        assert_eq!((refused.status, refused.resume_at), (Status::Failed, Some(now())), "a restart tries it again");
        assert_eq!((bug.status, bug.resume_at), (Status::Failed, None));
    }
}
