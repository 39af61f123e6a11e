//! Says how the last due full run stands: a pure function of the clock, the schedule and the history.

use chrono::{DateTime, TimeDelta, Utc};

use super::decide::{Past, Windows, has_served};
use crate::domain::run::{RunId, RunRecord, Status};
use crate::domain::schedule::Schedule;

/// A tick without a row counts as late after this time: a daemon starts its run within seconds.
const LATE_AFTER: TimeDelta = TimeDelta::minutes(2);

/// How the last due full run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It succeeded.
    Succeeded(RunId),
    /// It is partial.
    Partial(RunId),
    /// It is not finished.
    Unfinished(RunId),
    /// It failed.
    Failed(RunId),
    /// A user cancelled it.
    Cancelled(RunId),
    /// It is due and has not started.
    Late(DateTime<Utc>),
    /// Its tick was missed, and it will not be caught up.
    Missed(DateTime<Utc>),
    /// There is no full run yet.
    Never,
}

/// Finds the last due full run. A tick in a pause of the schedule, or during another run, is not due.
#[must_use]
pub fn standing(now: DateTime<Utc>, schedule: &Schedule, past: Past<'_>, windows: Windows) -> Standing {
    let full = || past.runs.iter().filter(|run| run.is_full && run.status != Status::Skipped);
    if let Some(run) = full().find(|run| run.status.is_unfinished()) {
        return Standing::Unfinished(run.id);
    }
    let Some(newest) = full().next() else { return Standing::Never };
    let tick = schedule.last_until(now).filter(|_| windows.is_enabled);
    let Some(tick) = tick.filter(|tick| past.pause_at(*tick).is_none()) else { return of(newest) };
    let row = past.runs.iter().find(|run| run.scheduled_for == Some(tick) || has_served(run, tick, None));
    match row {
        Some(row) if row.status == Status::Skipped => {
            let was_at_work = |run: &&RunRecord| run.started_at <= tick && run.finished_at.is_none_or(|end| end > tick);
            full().find(was_at_work).map_or(Standing::Missed(tick), of)
        }
        Some(row) => of(row),
        None if now - tick > LATE_AFTER => Standing::Late(tick),
        None => of(newest),
    }
}

fn of(run: &RunRecord) -> Standing {
    match run.status {
        Status::Succeeded => Standing::Succeeded(run.id),
        Status::Partial => Standing::Partial(run.id),
        Status::Running | Status::Interrupted => Standing::Unfinished(run.id),
        Status::Failed | Status::Skipped => Standing::Failed(run.id),
        Status::Cancelled => Standing::Cancelled(run.id),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::run::Trigger;
    use crate::domain::schedule_pause::SchedulePause;

    /// Monday 03:00 in Seoul.
    fn tick() -> DateTime<Utc> {
        "2026-11-22T18:00:00Z".parse().unwrap()
    }

    fn run(id: i64, status: Status, scheduled_for: DateTime<Utc>) -> RunRecord {
        RunRecord {
            id: RunId(id),
            trigger: Trigger::Schedule,
            scheduled_for: Some(scheduled_for),
            status,
            started_at: scheduled_for,
            finished_at: (!status.is_unfinished()).then_some(scheduled_for + TimeDelta::minutes(10)),
            heartbeat_at: scheduled_for,
            resume_at: None,
            resumed_count: 0,
            is_full: true,
            is_requested: false,
        }
    }

    fn an_hour_later(runs: &[RunRecord], pauses: &[SchedulePause]) -> Standing {
        let windows =
            Windows { is_enabled: true, catch_up: Duration::from_hours(168), resume: Duration::from_hours(72) };
        let schedule = Schedule::parse("0 0 3 * * Mon", "Asia/Seoul").unwrap();
        standing(tick() + TimeDelta::hours(1), &schedule, Past { runs, pauses }, windows)
    }

    #[test]
    fn the_run_of_the_last_tick_counts() {
        let week_before = run(1, Status::Succeeded, tick() - TimeDelta::weeks(1));
        let stands = |status| an_hour_later(&[run(2, status, tick()), week_before.clone()], &[]);

        assert_eq!(stands(Status::Succeeded), Standing::Succeeded(RunId(2)));
        assert_eq!(stands(Status::Partial), Standing::Partial(RunId(2)));
        assert_eq!(stands(Status::Failed), Standing::Failed(RunId(2)));
        assert_eq!(stands(Status::Cancelled), Standing::Cancelled(RunId(2)));
        assert_eq!(stands(Status::Interrupted), Standing::Unfinished(RunId(2)));
        assert_eq!(stands(Status::Skipped), Standing::Missed(tick()));
        assert_eq!(an_hour_later(&[week_before], &[]), Standing::Late(tick()));
        assert_eq!(an_hour_later(&[], &[]), Standing::Never);
    }

    #[test]
    fn a_run_that_a_user_started_after_the_tick_counts() {
        let by_hand = RunRecord {
            trigger: Trigger::Manual,
            scheduled_for: None,
            ..run(2, Status::Partial, tick() + TimeDelta::minutes(20))
        };

        assert_eq!(an_hour_later(&[by_hand], &[]), Standing::Partial(RunId(2)));
    }

    #[test]
    fn a_tick_in_a_pause_or_during_a_run_is_not_due() {
        let week_before = run(1, Status::Succeeded, tick() - TimeDelta::weeks(1));
        let long = RunRecord { finished_at: Some(tick() + TimeDelta::minutes(30)), ..week_before.clone() };
        let skipped = run(2, Status::Skipped, tick());
        let pause = SchedulePause { since: tick(), until: None, reason: None, by: String::new() };

        assert_eq!(an_hour_later(&[skipped.clone(), week_before], &[pause]), Standing::Succeeded(RunId(1)));
        assert_eq!(an_hour_later(&[skipped, long], &[]), Standing::Succeeded(RunId(1)));
    }
}
