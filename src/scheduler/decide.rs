//! When to run: one pure function of the clock, the history and the schedule.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::run::{RunId, RunRecord, Status, Trigger};
use crate::domain::schedule::Schedule;

/// Up to this late a run counts as on time.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// How many ticks that nobody recorded are looked back for.
const LOOK_BACK: usize = 10;

/// Clocks of machines that share a database differ by less than this, and no run waits for longer than until the next
/// midnight: an instant that lies further ahead was written by a clock that was ahead.
const AHEAD: TimeDelta = TimeDelta::days(1);

/// The settings of the decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Whether anything starts by itself.
    pub is_enabled: bool,
    /// How late a tick is still caught up.
    pub catch_up: Duration,
    /// How long an unfinished run is resumed, from its tick (or start) on.
    pub resume: Duration,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on with a run.
    Resume(RunId),
    /// Close an unfinished run as failed: its window is over.
    GiveUp(RunId, String),
    /// Run a tick.
    Start {
        /// The tick.
        tick: DateTime<Utc>,
        /// On time or not.
        trigger: Trigger,
    },
    /// Record a tick as skipped.
    Skip {
        /// The tick.
        tick: DateTime<Utc>,
        /// Why.
        reason: String,
    },
    /// Take its tick from a run that a clock ahead of its time has started.
    Untie(RunId),
    /// Nothing, until the next tick or the next look.
    Wait,
}

/// Decides what to do now; `history` is newest first. Each decision is carried out before the next one is asked for.
#[must_use]
pub fn decide(now: DateTime<Utc>, schedule: &Schedule, history: &[RunRecord], windows: Windows) -> Decision {
    if !windows.is_enabled {
        return Decision::Wait;
    }
    let unfinished = history.iter().filter(|run| run.status.is_unfinished() && run.is_full);
    for run in unfinished {
        if now - anchor(run) > span(windows.resume) {
            let window = humantime::format_duration(windows.resume);
            return Decision::GiveUp(run.id, format!("unfinished when its resume window of {window} was over"));
        }
        // A run in other hands is tried, too: its lock tells whether they are alive.
        if run.status == Status::Running || run.resume_at.is_none_or(|at| at <= now || at - now > AHEAD) {
            return Decision::Resume(run.id);
        }
    }
    let due = ticks(now, schedule, history);
    let mut decisions = due.iter().rev().enumerate().rev().filter_map(|(newer, tick)| {
        let tick = Tick { at: *tick, is_latest: newer == 0 };
        settle(tick, now, history, windows)
    });
    decisions.next().unwrap_or(Decision::Wait)
}

/// The run that a daemon tries again when it starts: the latest full one, if the API refused its key and its window is
/// open. Somebody who starts a daemon may have mended the key.
#[must_use]
pub fn retry_at_start(now: DateTime<Utc>, history: &[RunRecord], windows: Windows) -> Option<RunId> {
    let latest = history.iter().find(|run| run.is_full && run.status != Status::Skipped)?;
    let is_refused = latest.status == Status::Failed && latest.resume_at.is_some();
    let is_open = now - anchor(latest) <= span(windows.resume);
    (windows.is_enabled && is_refused && is_open).then_some(latest.id)
}

/// The run that holds a tick and was started, or recorded as skipped, by a clock that was far ahead: the tick is to be
/// judged anew by the right one. Where all of history lies ahead, it is rather this clock that is behind.
#[must_use]
pub fn ahead_of_time(now: DateTime<Utc>, history: &[RunRecord], windows: Windows) -> Option<RunId> {
    let is_plausible = windows.is_enabled && history.iter().any(|run| run.started_at <= now);
    let is_early = |run: &&RunRecord| run.scheduled_for.is_some() && run.started_at - now > AHEAD;
    history.iter().filter(|_| is_plausible).find(is_early).map(|run| run.id)
}

/// A tick that is due and has no row.
#[derive(Clone, Copy, Debug)]
struct Tick {
    at: DateTime<Utc>,
    is_latest: bool,
}

/// The ticks that are due and have no row, oldest first. Before the first row there was no installation, so only its
/// latest tick counts.
fn ticks(now: DateTime<Utc>, schedule: &Schedule, history: &[RunRecord]) -> Vec<DateTime<Utc>> {
    let first_sign = history.iter().map(|run| run.started_at).min();
    let is_recorded = |tick: &DateTime<Utc>| history.iter().any(|run| run.scheduled_for == Some(*tick));
    let latest = schedule.last_until(now);
    let earlier = |tick: &DateTime<Utc>| schedule.last_until(*tick - TimeDelta::seconds(1));
    let mut due: Vec<DateTime<Utc>> = std::iter::successors(latest, earlier)
        .take(LOOK_BACK)
        .take_while(|tick| !is_recorded(tick))
        .enumerate()
        .filter(|(age, tick)| *age == 0 || first_sign.is_some_and(|first| *tick >= first))
        .map(|(_, tick)| tick)
        .collect();
    due.reverse();
    due
}

/// What becomes of a tick that is due; `None` where it leaves no trace.
fn settle(tick: Tick, now: DateTime<Utc>, history: &[RunRecord], windows: Windows) -> Option<Decision> {
    let Tick { at: tick, is_latest } = tick;
    let skip = |reason| Some(Decision::Skip { tick, reason });
    let late = now - tick;
    if let Some(run) = history.iter().find(|run| covers(run, tick, windows)) {
        return skip(format!("run {} was under way", run.id));
    }
    if !is_latest || history.iter().any(|run| run.scheduled_for.is_some_and(|other| other > tick)) {
        return skip("nobody ran it in time, and only the latest tick is caught up".to_owned());
    }
    if late <= ON_TIME {
        return Some(Decision::Start { tick, trigger: Trigger::Schedule });
    }
    if late <= span(windows.catch_up) {
        return Some(Decision::Start { tick, trigger: Trigger::CatchUp });
    }
    // A new installation owes nothing to ticks before its time.
    let existed = history.iter().any(|run| run.started_at <= tick);
    let window = humantime::format_duration(windows.catch_up);
    let late = humantime::format_duration(Duration::from_secs(late.num_seconds().unsigned_abs()));
    if existed { skip(format!("nobody ran it in time: {late} late, the catch-up window is {window}")) } else { None }
}

/// Whether a full run was under way at a tick. One that failed was so within its window at most, however late it was
/// noticed that the window is over.
fn covers(run: &RunRecord, tick: DateTime<Utc>, windows: Windows) -> bool {
    let serves_another = run.scheduled_for != Some(tick);
    let has_worked = run.status != Status::Skipped && run.is_full;
    let was_given_up = run.status == Status::Failed && tick - anchor(run) > span(windows.resume);
    let is_within = run.started_at <= tick && run.finished_at.is_none_or(|end| end > tick);
    serves_another && has_worked && !was_given_up && is_within
}

/// From when on the resume window of a run counts: its tick, or its start where it had none or was late already.
fn anchor(run: &RunRecord) -> DateTime<Utc> {
    match run.trigger {
        Trigger::Schedule => run.scheduled_for.unwrap_or(run.started_at),
        Trigger::CatchUp | Trigger::Manual => run.started_at,
    }
}

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
