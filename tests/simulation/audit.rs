//! What must be true after every step, of every decision, and in calm times.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use sanggwond::domain::run::{RunRecord, Status, Trigger};
use sanggwond::scheduler::decide::Decision;

use crate::history::{At, Row};
use crate::world::{CALM_AFTER, Check, World};

/// A run that starts at most this late is on time.
const ON_TIME: TimeDelta = TimeDelta::seconds(60);

/// When daemons have started a run for a tick, or skipped it.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    started: BTreeMap<At, At>,
    skipped: BTreeMap<At, At>,
}

impl Settled {
    /// Notes a run that was opened for a tick.
    pub(crate) fn start(&mut self, tick: Option<At>, now: At) {
        self.started.extend(tick.map(|tick| (tick, now)));
    }

    /// Notes a tick that was skipped.
    pub(crate) fn skip(&mut self, tick: At, now: At) {
        self.skipped.insert(tick, now);
    }

    /// Whether a clock that was ahead has settled it before its time, by less than a day when the clock was set right: such a
    /// decision stays.
    fn was_early(&self, tick: At, disturbed_at: At) -> bool {
        let mut settled = [&self.started, &self.skipped].into_iter().filter_map(|settled| settled.get(&tick));
        settled.any(|at| *at < tick) && tick - disturbed_at <= TimeDelta::days(1) + CALM_AFTER
    }
}

fn ensure(is_true: bool, otherwise: impl FnOnce() -> String) -> Check {
    if is_true { Ok(()) } else { Err(otherwise()) }
}

/// Checks the rows that a step has changed.
pub(crate) fn check(world: &mut World) -> Check {
    ensure(world.unsent >= 0, || format!("{} requests were sent and not counted", -world.unsent))?;
    let changed = std::mem::take(&mut world.history.changed);
    if changed.is_empty() {
        return Ok(());
    }
    let rows = &world.history.rows;
    let running = rows.iter().filter(|row| row.record.status == Status::Running).count();
    ensure(running <= 1, || format!("{running} runs are running"))?;
    let changed = || changed.iter().filter_map(|run| world.history.row(*run));
    changed().try_for_each(|row| is_consistent(world, row))?;
    let tick_of = |row: &&Row| row.record.scheduled_for;
    let is_twice = |row: &Row| {
        row.record
            .scheduled_for
            .is_some_and(|tick| rows.iter().filter(|other| tick_of(other) == Some(tick)).count() > 1)
    };
    ensure(!changed().any(is_twice), || "a tick has two rows".to_owned())
}

/// A row must not contradict itself.
fn is_consistent(world: &World, row: &Row) -> Check {
    let RunRecord { id, status, finished_at, resume_at, started_at, .. } = row.record;
    let say = |what: &str| format!("run {id} is {status} and {what}: {row:?}");
    ensure(finished_at.is_some() != status.is_unfinished(), || say("its end contradicts this"))?;
    ensure(finished_at.is_none_or(|end| end >= started_at), || say("ended before it began"))?;
    ensure(resume_at.is_none() || matches!(status, Status::Interrupted | Status::Failed), || say("waits"))?;
    let wait = resume_at.map_or(TimeDelta::zero(), |at| at - row.record.heartbeat_at);
    ensure(wait <= longest_wait(row), || say("waits too long"))?;
    let needs_reason = matches!(status, Status::Interrupted | Status::Failed | Status::Cancelled | Status::Skipped);
    ensure(!needs_reason || row.reason.as_ref().is_some_and(|reason| !reason.is_empty()), || say("does not say why"))?;
    ensure(status != Status::Succeeded || row.pending == 0, || say("has cells that were not read"))?;
    let sent = world.sent.get(&id).copied().unwrap_or(0);
    ensure(row.requests <= sent, || say(&format!("counts more requests than the {sent} that were sent")))
}

/// When its resume window begins.
fn anchor(row: &Row) -> At {
    match row.record.trigger {
        Trigger::Schedule => row.record.scheduled_for.unwrap_or(row.record.started_at),
        Trigger::CatchUp | Trigger::Manual | Trigger::Request => row.record.started_at,
    }
}

/// How long a run may wait before it is resumed.
fn longest_wait(row: &Row) -> TimeDelta {
    let says = |what| row.reason.as_ref().is_some_and(|reason| reason.contains(what));
    if says("monthly_quota") {
        TimeDelta::days(31)
    } else if says("quota") {
        TimeDelta::days(1)
    } else {
        TimeDelta::minutes(30)
    }
}

/// Checks what a daemon is about to do, at the time that its clock shows.
pub(crate) fn decision(world: &mut World, index: usize, decision: &Decision) -> Check {
    let clock = world.clock_of(index);
    let is_paused = world.history.read_pauses().iter().any(|pause| pause.holds(clock));
    let windows = world.windows();
    match decision {
        Decision::Start { tick, trigger } => {
            ensure(!is_paused, || format!("{decision:?} in a pause"))?;
            ensure(world.schedule.last_until(clock) == Some(*tick), || format!("{decision:?}, not the latest tick"))?;
            let late = clock - *tick;
            ensure(late >= TimeDelta::zero(), || format!("{decision:?} before its tick, at {clock}"))?;
            ensure((*trigger == Trigger::Schedule) == (late <= ON_TIME), || format!("{decision:?} at {clock}"))?;
            let is_open = late.to_std().unwrap_or_default() <= windows.catch_up || late <= ON_TIME;
            ensure(is_open, || format!("{decision:?} {late} after its tick, beyond its window"))?;
            // A clock that was days ahead does not count.
            let is_twice = world.settled.started.get(tick).is_some_and(|at| *tick - *at <= TimeDelta::days(1));
            ensure(!is_twice, || format!("{decision:?}, which was started before"))
        }
        Decision::Resume(run) => {
            let Some(row) = world.history.row(*run) else { return Err(format!("{decision:?}: no such run")) };
            ensure(!is_paused || row.record.is_requested, || format!("{decision:?} in a pause"))?;
            let anchor = anchor(row);
            let age = (clock - anchor).to_std().unwrap_or_default();
            ensure(age <= windows.resume, || format!("{decision:?} beyond its window: {row:?} at {clock}"))
        }
        Decision::Untie(run) => {
            let tick = world.history.row(*run).and_then(|row| row.record.scheduled_for);
            world.settled.started.retain(|started, _| Some(*started) != tick);
            world.settled.skipped.retain(|skipped, _| Some(*skipped) != tick);
            Ok(())
        }
        Decision::Skip { tick, reason } => {
            let run = reason.strip_prefix("run ").and_then(|rest| rest.split_once(' ')).map(|(run, _)| run.to_owned());
            if let Some(run) = run {
                let was_there = |row: &Row| {
                    row.record.id.to_string() == run
                        && row.record.started_at <= *tick
                        && row.record.finished_at.is_none_or(|end| end > *tick)
                };
                ensure(world.history.rows.iter().any(was_there), || format!("{decision:?} is not true"))?;
            }
            ensure(*tick <= clock, || format!("{decision:?} before its tick"))
        }
        Decision::Abandon(run, _) => {
            let anchor = world.history.row(*run).map_or(clock, anchor);
            let age = (clock - anchor).to_std().unwrap_or_default();
            ensure(age > windows.resume, || format!("{decision:?} within its window, at {clock}"))
        }
        Decision::Tie { .. } | Decision::Answer(_) | Decision::Wait => Ok(()),
    }
}

/// Checks that nothing is left undone some hours after the last event.
pub(crate) fn calm(world: &World, tick: At) -> Check {
    let now = world.now;
    let rows = &world.history.rows;
    let state = || format!("at {now}, long after the last event: {rows:#?}");
    let was_paused = world.history.read_pauses().iter().any(|pause| pause.holds(tick));
    if !was_paused && tick > world.disturbed_at + CALM_AFTER {
        let row = rows.iter().find(|row| row.record.scheduled_for == Some(tick));
        let Some(row) = row else { return Err(format!("the tick {tick} has no row {}", state())) };
        let is_served = match row.record.trigger {
            Trigger::Schedule => row.record.status != Status::Skipped && row.record.started_at - tick <= ON_TIME,
            Trigger::CatchUp => false,
            Trigger::Manual | Trigger::Request => true,
        };
        // A part that somebody requested keeps a daemon busy, too.
        let covers =
            |other: &Row| other.record.started_at <= tick && other.record.finished_at.is_none_or(|end| end > tick);
        let was_busy = rows.iter().any(|other| other.record.status != Status::Skipped && covers(other));
        ensure(is_served || was_busy || world.settled.was_early(tick, world.disturbed_at), || {
            format!("the tick {tick} was not served on time {}", state())
        })?;
    }
    let waits_long =
        |row: &Row| row.record.resume_at.is_some_and(|at| at - now > longest_wait(row) + TimeDelta::days(1));
    let is_unfinished =
        |row: &Row| row.record.status == Status::Interrupted && (row.record.is_full || row.record.is_requested);
    ensure(!rows.iter().any(|row| is_unfinished(row) && waits_long(row)), || {
        format!("a run waits too long {}", state())
    })?;
    let is_left = |row: &&Row| row.record.status == Status::Running && now - row.record.heartbeat_at > CALM_AFTER;
    ensure(!rows.iter().any(|row| is_left(&row)), || format!("a run has no process {}", state()))?;
    let waits = |row: &Row| row.record.status == Status::Interrupted;
    let is_forgotten = |row: &Row| row.record.resume_at.is_none_or(|at| at < now - CALM_AFTER);
    let is_ours = |row: &Row| row.record.is_full || row.record.is_requested;
    ensure(!rows.iter().any(|row| waits(row) && is_ours(row) && is_forgotten(row)), || {
        format!("a run is not resumed {}", state())
    })?;
    ensure(!world.history.has_cancelled(), || format!("a run is cancelled and not ended {}", state()))?;
    let is_open = world.history.wishes.iter().any(|wish| wish.run.is_none());
    ensure(!is_open || rows.iter().any(|row| row.record.status.is_unfinished()), || {
        format!("a request is not answered {}", state())
    })
}
