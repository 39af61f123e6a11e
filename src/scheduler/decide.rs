//! Decides when to run: a pure function of the current time, the schedule, the run history and the pauses.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::run::{RunId, RunRecord, RunRequest, Status, Trigger};
use crate::domain::schedule::Schedule;
use crate::domain::schedule_pause::SchedulePause;

/// A run that starts at most this late counts as on time.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// Maximum number of past ticks that are checked for a missing row.
const LOOK_BACK: usize = 10;

/// A run that began or showed life further ahead than this was written while a clock was wrong: the clocks of machines that
/// share a database differ by less.
const AHEAD: TimeDelta = TimeDelta::days(1);

/// The settings for [`decide()`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Whether runs start automatically.
    pub is_enabled: bool,
    /// How long after a missed tick its run is still started.
    pub catch_up: Duration,
    /// How long after its tick (or start) an unfinished run is still resumed.
    pub resume: Duration,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Resume a run.
    Resume(RunId),
    /// Mark an unfinished run as failed, because its resume window is over.
    Abandon(RunId, String),
    /// Start the run of a tick.
    Start {
        /// The tick.
        tick: DateTime<Utc>,
        /// Whether it is on time or late.
        trigger: Trigger,
    },
    /// Record a tick as skipped.
    Skip {
        /// The tick.
        tick: DateTime<Utc>,
        /// Why.
        reason: String,
    },
    /// Record that a run that a user started or requested counts for a tick.
    Tie {
        /// The run.
        run: RunId,
        /// The tick.
        tick: DateTime<Utc>,
    },
    /// Remove the tick from a run that was recorded while the clock was ahead.
    Untie(RunId),
    /// Start the run that somebody requested.
    Answer(RunRequest),
    /// Do nothing until the next tick or heartbeat.
    Wait,
}

/// The time, here and elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// The clock of this machine.
    pub here: DateTime<Utc>,
    /// The latest of the clocks of this machine, of the database and of the daemons that are alive. A row is written by one
    /// whose clock is ahead only if it lies beyond all of them: two daemons whose clocks disagree must not undo each other's
    /// decisions for ever.
    pub latest: DateTime<Utc>,
}

impl From<DateTime<Utc>> for Clocks {
    /// A clock that no other contradicts.
    fn from(here: DateTime<Utc>) -> Self {
        Self { here, latest: here }
    }
}

/// What happened so far, newest first.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// The runs and the skipped ticks.
    pub runs: &'a [RunRecord],
    /// The pauses of the schedule.
    pub pauses: &'a [SchedulePause],
}

impl Past<'_> {
    /// The pause that holds an instant.
    #[must_use]
    pub fn pause_at(&self, at: DateTime<Utc>) -> Option<&SchedulePause> {
        self.pauses.iter().find(|pause| pause.holds(at))
    }
}

/// The next decision of a daemon, before it looks for requests: corrects the history first if a clock was ahead, and retries a
/// rejected key at the start.
#[must_use]
pub fn next_decision(
    clocks: Clocks,
    is_start: bool,
    schedule: &Schedule,
    past: Past<'_>,
    windows: Windows,
) -> Decision {
    if let Some(run) = ahead_of_time(clocks.latest, past.runs, windows) {
        return Decision::Untie(run);
    }
    let retried = if is_start { retry_at_start(clocks.here, past, windows) } else { None };
    retried.map_or_else(|| decide(clocks, schedule, past, windows), Decision::Resume)
}

/// Decides what to do now. The caller carries out each decision before it asks again.
///
/// While the schedule is disabled or paused, only a run that somebody requested is resumed. Requests that wait are not
/// considered here: they come after everything that is due.
#[must_use]
pub fn decide(clocks: impl Into<Clocks>, schedule: &Schedule, past: Past<'_>, windows: Windows) -> Decision {
    let clocks @ Clocks { here: now, latest } = clocks.into();
    let may_start = windows.is_enabled && past.pause_at(now).is_none();
    let is_ours = |run: &&RunRecord| run.is_requested || (may_start && run.is_full);
    for run in past.runs.iter().filter(|run| run.status.is_unfinished()).filter(is_ours) {
        if now - anchor(run) > span(windows.resume) {
            let window = humantime::format_duration(windows.resume);
            return Decision::Abandon(run.id, format!("unfinished at the end of its resume window of {window}"));
        }
        // A time to resume that was computed with a wrong clock does not count.
        let is_due = run.resume_at.is_none_or(|at| at <= now) || run.heartbeat_at - latest > AHEAD;
        // A run with status `running` is resumed as well. The lock prevents that if its process is alive.
        if run.status == Status::Running || is_due {
            return Decision::Resume(run.id);
        }
    }
    if !windows.is_enabled {
        return Decision::Wait;
    }
    let due = ticks(now, schedule, past.runs);
    let mut following = due.iter().skip(1);
    let mut due = due.iter().map(|tick| Tick { at: *tick, next: following.next().copied() });
    due.find_map(|tick| settle(tick, clocks, past, windows)).unwrap_or(Decision::Wait)
}

/// The run that a daemon resumes when it starts: the latest full run, if it failed because the API rejected the key and its
/// resume window is open. The key may have been corrected before the start.
#[must_use]
pub fn retry_at_start(now: DateTime<Utc>, past: Past<'_>, windows: Windows) -> Option<RunId> {
    let latest = past.runs.iter().find(|run| run.is_full && run.status != Status::Skipped)?;
    let is_refused = latest.status == Status::Failed && latest.resume_at.is_some();
    let is_open = now - anchor(latest) <= span(windows.resume);
    let may_start = windows.is_enabled && past.pause_at(now).is_none();
    (may_start && is_refused && is_open).then_some(latest.id)
}

/// Whether the clock of this machine may be wrong, so that the others must be asked.
#[must_use]
pub fn is_doubtful(now: DateTime<Utc>, history: &[RunRecord]) -> bool {
    let latest =
        |run: &RunRecord| run.started_at.max(run.heartbeat_at).max(run.scheduled_for.unwrap_or(run.started_at));
    history.iter().any(|run| latest(run) - now > AHEAD)
}

/// A run with a tick that was decided, or recorded as skipped, while the clock was far ahead. Its tick must be decided again
/// with the correct time. If every run lies in the future, the current clock is assumed to be wrong, and the result is `None`.
#[must_use]
pub fn ahead_of_time(now: DateTime<Utc>, history: &[RunRecord], windows: Windows) -> Option<RunId> {
    let is_plausible = windows.is_enabled && history.iter().any(|run| run.started_at <= now);
    // The clock may have been set right between the decision and the start.
    let is_early = |run: &&RunRecord| run.scheduled_for.is_some_and(|tick| tick.max(run.started_at) - now > AHEAD);
    history.iter().filter(|_| is_plausible).find(is_early).map(|run| run.id)
}

/// A due tick without a row in the history.
#[derive(Clone, Copy, Debug)]
struct Tick {
    at: DateTime<Utc>,
    /// The next tick, if it is due as well.
    next: Option<DateTime<Utc>>,
}

/// The due ticks without a row, oldest first. Ticks before the first row of the history are ignored, except the latest
/// tick, because the daemon was not installed yet.
fn ticks(now: DateTime<Utc>, schedule: &Schedule, history: &[RunRecord]) -> Vec<DateTime<Utc>> {
    let installed_at = history.iter().map(|run| run.started_at).min();
    let is_recorded = |tick: &DateTime<Utc>| history.iter().any(|run| run.scheduled_for == Some(*tick));
    let latest = schedule.last_until(now);
    let earlier = |tick: &DateTime<Utc>| schedule.last_until(*tick - TimeDelta::seconds(1));
    let mut due: Vec<DateTime<Utc>> = std::iter::successors(latest, earlier)
        .take(LOOK_BACK)
        .take_while(|tick| !is_recorded(tick))
        .enumerate()
        .filter(|(age, tick)| *age == 0 || installed_at.is_some_and(|first| *tick >= first))
        .map(|(_, tick)| tick)
        .collect();
    due.reverse();
    due
}

/// Decides about a due tick; `None` if nothing is recorded for it.
fn settle(tick: Tick, clocks: Clocks, past: Past<'_>, windows: Windows) -> Option<Decision> {
    let Clocks { here: now, latest } = clocks;
    let (Tick { at: tick, next }, history) = (tick, past.runs);
    let skip = |reason| Some(Decision::Skip { tick, reason });
    let late = now - tick;
    // If several runs qualify, the oldest one counts. One that began while the clock was ahead would lose the tick again.
    let is_early = |run: &RunRecord| run.started_at - latest > AHEAD;
    if let Some(run) = history.iter().rfind(|run| has_served(run, tick, next) && !is_early(run)) {
        return Some(Decision::Tie { run: run.id, tick });
    }
    if let Some(pause) = past.pause_at(tick) {
        return skip(pause.to_string());
    }
    if let Some(run) = history.iter().find(|run| covers(run, tick, latest, windows)) {
        return skip(format!("run {} was in progress", run.id));
    }
    if next.is_some() || history.iter().any(|run| run.scheduled_for.is_some_and(|other| other > tick)) {
        return skip("missed, and only the latest missed tick is caught up".to_owned());
    }
    // The tick itself was not in the pause. It is caught up after the pause, or skipped at the end of its window.
    let may_start = past.pause_at(now).is_none();
    if late <= ON_TIME && may_start {
        return Some(Decision::Start { tick, trigger: Trigger::Schedule });
    }
    if late <= span(windows.catch_up) {
        return may_start.then_some(Decision::Start { tick, trigger: Trigger::CatchUp });
    }
    // Ticks before the installation are not recorded as skipped.
    let existed = history.iter().any(|run| run.started_at <= tick);
    let window = humantime::format_duration(windows.catch_up);
    let late = humantime::format_duration(Duration::from_secs(late.num_seconds().unsigned_abs()));
    if existed { skip(format!("missed by {late}; the catch-up window is {window}")) } else { None }
}

/// Whether a full run was in progress at a tick. An end that a clock recorded while it was ahead does not count. A failed run counts only within its resume window, because it may have
/// been marked as failed long after the window was over.
fn covers(run: &RunRecord, tick: DateTime<Utc>, latest: DateTime<Utc>, windows: Windows) -> bool {
    let serves_another = run.scheduled_for != Some(tick);
    let has_worked = run.status != Status::Skipped && run.is_full;
    let was_abandoned = run.status == Status::Failed && tick - anchor(run) > span(windows.resume);
    let is_within = run.started_at <= tick && run.finished_at.is_none_or(|end| end > tick && end - latest <= AHEAD);
    serves_another && has_worked && !was_abandoned && is_within
}

/// Whether a run that a user started or requested counts for a tick: a full run that started after the tick and before the next one, and finished.
pub(super) fn has_served(run: &RunRecord, tick: DateTime<Utc>, next: Option<DateTime<Utc>>) -> bool {
    let is_manual =
        matches!(run.trigger, Trigger::Manual | Trigger::Request) && run.is_full && run.scheduled_for.is_none();
    let is_finished = matches!(run.status, Status::Succeeded | Status::Partial);
    is_manual && is_finished && run.started_at >= tick && next.is_none_or(|next| run.started_at < next)
}

/// The start of a run's resume window: its tick if it started on time, otherwise its own start.
fn anchor(run: &RunRecord) -> DateTime<Utc> {
    match run.trigger {
        Trigger::Schedule => run.scheduled_for.unwrap_or(run.started_at),
        Trigger::CatchUp | Trigger::Manual | Trigger::Request => run.started_at,
    }
}

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests;
