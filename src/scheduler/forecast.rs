//! Predicts what a daemon would do if it were started now.

use chrono::{DateTime, Utc};

use super::decide::{Decision, Past, Windows, next_decision};
use crate::domain::run::{RunId, RunRecord, Status, Trigger};
use crate::domain::schedule::Schedule;
use crate::domain::schedule_pause::SchedulePause;

/// Maximum number of decisions to simulate. In practice there are far fewer; the limit prevents an endless loop.
const MOST_DECISIONS: usize = 100;

/// The first run that a daemon would work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// No run before the next tick.
    Nothing,
    /// A run is in progress. If its process has died, it is resumed.
    Running(RunId),
    /// An unfinished run is resumed, at once or later.
    Resume {
        /// The run.
        run: RunId,
        /// When; `None` means immediately.
        at: Option<DateTime<Utc>>,
    },
    /// The run of a tick starts immediately.
    Start {
        /// The tick.
        tick: DateTime<Utc>,
        /// Whether it is on time or late.
        trigger: Trigger,
    },
}

/// Predicts the first run of a daemon that starts now. `history` and `pauses` are sorted newest first.
#[must_use]
pub fn forecast(
    now: DateTime<Utc>,
    schedule: &Schedule,
    mut history: Vec<RunRecord>,
    pauses: &[SchedulePause],
    windows: Windows,
) -> Forecast {
    for number in 0..MOST_DECISIONS {
        let past = Past { runs: &history, pauses };
        let decision = next_decision(now.into(), number == 0, schedule, past, windows);
        match decision {
            Decision::Start { tick, trigger } => return Forecast::Start { tick, trigger },
            Decision::Resume(run) if is_running(&history, run) => return Forecast::Running(run),
            Decision::Resume(run) => return Forecast::Resume { run, at: None },
            Decision::Wait | Decision::Answer(_) => return waiting(now, Past { runs: &history, pauses }, windows),
            Decision::Skip { tick, reason: _ } => history.insert(0, skipped(tick, now)),
            Decision::Abandon(run, _) => change(&mut history, run, |run| run.status = Status::Failed),
            Decision::Tie { run, tick } => change(&mut history, run, |run| run.scheduled_for = Some(tick)),
            Decision::Untie(run) => change(&mut history, run, |run| run.scheduled_for = None),
        }
    }
    Forecast::Nothing
}

fn is_running(history: &[RunRecord], id: RunId) -> bool {
    history.iter().any(|run| run.id == id && run.status == Status::Running)
}

/// The unfinished run that the daemon waits for, if there is one.
fn waiting(now: DateTime<Utc>, past: Past<'_>, windows: Windows) -> Forecast {
    let unfinished = past.runs.iter().find(|run| run.status.is_unfinished() && run.is_full);
    match unfinished.filter(|_| windows.is_enabled && past.pause_at(now).is_none()) {
        Some(run) => Forecast::Resume { run: run.id, at: run.resume_at },
        None => Forecast::Nothing,
    }
}

fn change(history: &mut [RunRecord], id: RunId, how: impl Fn(&mut RunRecord)) {
    history.iter_mut().filter(|run| run.id == id).for_each(how);
}

fn skipped(tick: DateTime<Utc>, now: DateTime<Utc>) -> RunRecord {
    RunRecord {
        // No real run has this number.
        id: RunId(0),
        trigger: Trigger::Schedule,
        scheduled_for: Some(tick),
        status: Status::Skipped,
        started_at: now,
        finished_at: Some(now),
        heartbeat_at: now,
        resume_at: None,
        resumed_count: 0,
        is_full: true,
        is_requested: false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::TimeDelta;

    use super::*;

    /// Monday 03:00 in Seoul.
    const TICK: &str = "2026-11-22T18:00:00Z";

    fn tick(weeks_before: i64) -> DateTime<Utc> {
        TICK.parse::<DateTime<Utc>>().unwrap() - TimeDelta::weeks(weeks_before)
    }

    fn run(id: i64, status: Status, scheduled_for: DateTime<Utc>) -> RunRecord {
        let finished_at = (!status.is_unfinished()).then_some(scheduled_for + TimeDelta::minutes(10));
        let started_at = scheduled_for;
        let scheduled_for = Some(scheduled_for);
        RunRecord { id: RunId(id), status, started_at, finished_at, scheduled_for, ..skipped(started_at, started_at) }
    }

    fn a_day_later(history: &[RunRecord]) -> Forecast {
        let day = Duration::from_hours(24);
        let windows = Windows { is_enabled: true, catch_up: day * 7, resume: day * 3 };
        let schedule = Schedule::parse("0 0 3 * * Mon", "Asia/Seoul").unwrap();
        forecast(tick(0) + TimeDelta::days(1), &schedule, history.to_vec(), &[], windows)
    }

    #[test]
    fn a_catch_up_is_predicted_even_if_other_decisions_come_before_it() {
        let catch_up = Forecast::Start { tick: tick(0), trigger: Trigger::CatchUp };

        assert_eq!(a_day_later(&[]), catch_up);
        assert_eq!(a_day_later(&[run(1, Status::Succeeded, tick(1))]), catch_up);
        assert_eq!(a_day_later(&[run(1, Status::Succeeded, tick(4))]), catch_up, "older ticks are skipped first");
        assert_eq!(a_day_later(&[run(1, Status::Interrupted, tick(1))]), catch_up, "its window is over");
        let ahead = RunRecord { started_at: tick(-4), ..run(2, Status::Succeeded, tick(0)) };
        assert_eq!(a_day_later(&[ahead, run(1, Status::Succeeded, tick(1))]), catch_up, "the clock was ahead");
    }

    #[test]
    fn nothing_is_predicted_if_the_tick_has_a_run() {
        let by_hand = RunRecord { trigger: Trigger::Manual, scheduled_for: None, ..run(2, Status::Partial, tick(0)) };

        assert_eq!(a_day_later(&[run(1, Status::Succeeded, tick(0))]), Forecast::Nothing);
        assert_eq!(a_day_later(&[by_hand, run(1, Status::Succeeded, tick(1))]), Forecast::Nothing);
    }

    #[test]
    fn an_unfinished_run_goes_first() {
        let interrupted = run(2, Status::Interrupted, tick(0));
        let refused = RunRecord { resume_at: Some(tick(0)), ..run(2, Status::Failed, tick(0)) };
        let later = tick(0) + TimeDelta::hours(30);
        let waiting = RunRecord { resume_at: Some(later), ..interrupted.clone() };

        assert_eq!(a_day_later(&[interrupted]), Forecast::Resume { run: RunId(2), at: None });
        assert_eq!(a_day_later(&[refused]), Forecast::Resume { run: RunId(2), at: None });
        assert_eq!(a_day_later(&[waiting]), Forecast::Resume { run: RunId(2), at: Some(later) });
        assert_eq!(a_day_later(&[run(2, Status::Running, tick(0))]), Forecast::Running(RunId(2)));
    }
}
