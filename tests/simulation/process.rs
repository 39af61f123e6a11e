//! A process: a daemon, or `sanggwond crawl`. It takes the decisions of the real scheduler, and the steps in between as
//! `scheduler.rs` and `runner.rs` take them; each is at most one transaction or ten requests.

use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use sanggwond::crawl;
use sanggwond::domain::run::{RunId, Status, Trigger};
use sanggwond::domain::station::StationMap;
use sanggwond::kakao;
use sanggwond::runner::ending::{self, Ending};
use sanggwond::scheduler::decide::{Clocks, Decision, Past, is_doubtful, next_decision};
use sanggwond::store::{self, Counts, Fence, Findings, RunEnd};

use crate::adversary::Api;
use crate::audit;
use crate::history::{At, New, Row};
use crate::world::{Check, World};

/// Requests that are reserved at a time, and that one step sends.
const RESERVE: u32 = 50;
const SENT_AT_ONCE: u32 = 10;

/// How often the end of a run is written while the database is away.
const ATTEMPTS: u32 = 10;

/// A process.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) state: State,
    /// How far its clock is ahead.
    pub(crate) offset: TimeDelta,
    pub(crate) step: Step,
    /// When it takes the next step.
    pub(crate) wake: At,
    is_start: bool,
    is_stopping: bool,
    /// A crawl by hand: whether it is full, and fresh.
    by_hand: Option<(bool, bool)>,
}

/// Whether a process takes steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It does not run.
    Down,
    /// It takes its steps.
    Awake,
    /// It is stopped in the middle of what it does.
    Suspended,
}

/// The next step of a process.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Look whether something is due.
    Idle,
    Lock,
    Interrupt,
    EndCancelled,
    Decide,
    /// Carry out a decision. Of a request, its number.
    Act(Act),
    /// Resume a run after its request was answered with it.
    Resume(RunId),
    Send(Work),
    Write(Work, u32),
    Beat(Work),
    /// Write the end of a run: the end, when it was first tried, and how often it is still tried.
    Conclude(Work, RunEnd, At, u32),
    Forget,
    Release,
}

/// What to carry out.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Decision(Decision),
    Answer(usize),
    /// Abandon these, and then open a run by hand.
    Fresh(Vec<RunId>, bool),
    OpenByHand(bool),
}

/// A run at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    fence: Fence,
    /// Requests that are reserved for a day and not sent.
    reserved: (NaiveDate, u32),
    /// Since when the API has not answered.
    away_since: Option<At>,
}

impl Process {
    /// A process that is not running.
    pub(crate) fn new() -> Self {
        Self {
            state: State::Down,
            offset: TimeDelta::zero(),
            step: Step::Idle,
            wake: At::UNIX_EPOCH,
            is_start: true,
            is_stopping: false,
            by_hand: None,
        }
    }

    pub(crate) fn start(&mut self, now: At) {
        *self = Self { state: State::Awake, wake: now, offset: self.offset, ..Self::new() };
    }

    pub(crate) fn crawl(&mut self, what: (bool, bool), now: At) {
        self.start(now);
        (self.by_hand, self.step) = (Some(what), Step::Lock);
    }

    pub(crate) fn end(&mut self) {
        *self = Self { offset: self.offset, ..Self::new() };
    }

    pub(crate) fn stop(&mut self, now: At) {
        self.is_stopping = self.state != State::Down;
        if matches!(self.step, Step::Idle) {
            self.wake = now;
        }
    }

    pub(crate) fn go_on(&mut self, now: At) {
        if self.state == State::Suspended {
            (self.state, self.wake) = (State::Awake, self.wake.max(now));
        }
    }

    /// Stops it in the middle of what it does.
    pub(crate) fn suspend(&mut self) {
        if self.state == State::Awake {
            self.state = State::Suspended;
        }
    }

    /// Takes the next step.
    pub(crate) fn step(world: &mut World, index: usize) -> Check {
        let process = &mut world.processes[index];
        let step = std::mem::replace(&mut process.step, Step::Idle);
        if !world.is_database_up && !matches!(step, Step::Release) {
            fail(world, index, step);
            return Ok(());
        }
        match step {
            Step::Idle => look(world, index),
            Step::Lock => take_lock(world, index),
            Step::Interrupt => {
                let clock = world.clock_of(index);
                world.history.interrupt_crashed(clock);
                next(world, index, Step::EndCancelled);
            }
            Step::EndCancelled => {
                let clock = world.clock_of(index);
                world.history.end_cancelled(clock);
                next(world, index, Step::Decide);
            }
            Step::Decide => {
                let act = match world.processes[index].by_hand {
                    Some(what) => Some(by_hand(world, what)),
                    None => decide(world, index, world.processes[index].is_start),
                };
                if let (Some(Act::Decision(decision)), None) = (&act, world.processes[index].by_hand) {
                    audit::decision(world, index, decision)?;
                }
                world.processes[index].is_start = false;
                next(world, index, act.map_or(Step::Release, Step::Act));
            }
            Step::Act(act) => carry_out(world, index, act),
            Step::Resume(run) => resume(world, index, run),
            Step::Send(work) => send(world, index, work),
            Step::Write(work, requests) => {
                let clock = world.clock_of(index);
                if world.history.write(work.fence, requests, requests.into(), clock) {
                    next(world, index, Step::Beat(work));
                } else {
                    end(world, index, work, &Ending::from(store::Error::Superseded(work.fence.run)));
                }
            }
            Step::Beat(work) => beat(world, index, work),
            Step::Conclude(work, run_end, at, attempts) => conclude(world, index, (work, run_end, at, attempts)),
            Step::Forget => {
                world.history.forget(world.settings.keep_runs);
                next(world, index, Step::Release);
            }
            Step::Release => release(world, index),
        }
        Ok(())
    }
}

/// Goes on with a step at once.
fn next(world: &mut World, index: usize, step: Step) {
    let now = world.now;
    let process = &mut world.processes[index];
    (process.step, process.wake) = (step, now);
}

/// The database is away.
fn fail(world: &mut World, index: usize, step: Step) {
    let away = || Ending::from(store::Error::Silent(Duration::from_mins(1)));
    let now = world.now;
    if let Step::Send(work) | Step::Write(work, _) | Step::Beat(work) = step {
        return end(world, index, work, &away());
    }
    let process = &mut world.processes[index];
    match step {
        Step::Conclude(work, run_end, at, attempts) if attempts > 1 => {
            (process.step, process.wake) =
                (Step::Conclude(work, run_end, at, attempts - 1), now + TimeDelta::minutes(1));
        }
        Step::Idle
        | Step::Lock
        | Step::Interrupt
        | Step::EndCancelled
        | Step::Decide
        | Step::Act(_)
        | Step::Resume(_)
        | Step::Send(_)
        | Step::Write(..)
        | Step::Beat(_)
        | Step::Conclude(..)
        | Step::Forget
        | Step::Release => {
            if process.by_hand.is_some() || process.is_stopping {
                return world.end_process(index);
            }
            world.free_lock(index);
            // It is woken when the database is back; a real one tries at every heartbeat.
            world.processes[index].wake = now + TimeDelta::days(1);
        }
    }
}

/// Looks without the lock whether something is due.
fn look(world: &mut World, index: usize) {
    if world.processes[index].is_stopping {
        return world.end_process(index);
    }
    let has_running = world.history.rows.iter().any(|row| row.record.status == Status::Running);
    let is_start = world.processes[index].is_start;
    if has_running || world.history.has_cancelled() || decide(world, index, is_start).is_some() {
        next(world, index, Step::Lock);
    } else {
        world.processes[index].is_start = false;
        world.sleep(index);
    }
}

fn take_lock(world: &mut World, index: usize) {
    if world.lock.is_none() {
        world.lock = Some(index);
        next(world, index, Step::Interrupt);
    } else if world.processes[index].by_hand.is_some() {
        world.end_process(index);
    } else {
        world.processes[index].is_start = false;
        // The holder wakes it. The holder may also lose the lock without noticing.
        world.processes[index].wake = world.now + TimeDelta::hours(6);
    }
}

fn decide(world: &mut World, index: usize, is_start: bool) -> Option<Act> {
    let (now, windows) = (world.clock_of(index), world.windows());
    let (records, pauses) = (world.history.records(), world.history.read_pauses());
    let mut clocks = Clocks::from(now);
    if is_doubtful(now, &records) {
        clocks.latest = now.max(world.latest_clock());
    }
    let past = Past { runs: &records, pauses: &pauses };
    let decision = next_decision(clocks, is_start, &world.schedule, past, windows);
    if decision == Decision::Wait {
        return world.history.next_wish(world.now, now).map(Act::Answer);
    }
    Some(Act::Decision(decision))
}

/// What `sanggwond crawl` does.
fn by_hand(world: &World, (is_full, is_fresh): (bool, bool)) -> Act {
    let records = world.history.records();
    let unfinished = || records.iter().filter(|run| run.status.is_unfinished());
    if is_fresh {
        let abandoned = unfinished().filter(|run| is_full || !run.is_full).map(|run| run.id);
        return Act::Fresh(abandoned.collect(), is_full);
    }
    // A full run goes before a part; of equals, the newest.
    match unfinished().min_by_key(|run| !run.is_full).filter(|_| is_full) {
        Some(run) => Act::Decision(Decision::Resume(run.id)),
        None => Act::OpenByHand(is_full),
    }
}

fn carry_out(world: &mut World, index: usize, act: Act) {
    let (clock, cells) = (world.clock_of(index), world.settings.cells);
    let new = |trigger| New { trigger, tick: None, wish: None, is_full: true, cells };
    let decision = match act {
        Act::Decision(decision) => decision,
        Act::Answer(wish) => {
            return answer(world, index, wish);
        }
        Act::OpenByHand(is_full) => {
            return open(world, index, New { is_full, ..new(Trigger::Manual) });
        }
        Act::Fresh(mut abandoned, is_full) => {
            match abandoned.pop() {
                Some(run) => {
                    world.history.abandon(run, "abandoned by hand", clock);
                    next(world, index, Step::Act(Act::Fresh(abandoned, is_full)));
                }
                None => next(world, index, Step::Act(Act::OpenByHand(is_full))),
            }
            return;
        }
    };
    match decision {
        Decision::Start { tick, trigger } => open(world, index, New { tick: Some(tick), ..new(trigger) }),
        Decision::Resume(run) => resume(world, index, run),
        Decision::Skip { tick, reason } => {
            world.history.skip(tick, &reason, clock);
            world.settled.skip(tick, world.now);
            next(world, index, Step::Release);
        }
        Decision::Abandon(run, reason) => {
            world.history.abandon(run, &reason, clock);
            next(world, index, Step::Release);
        }
        Decision::Tie { run, tick } => {
            world.history.tie(run, tick);
            next(world, index, Step::Release);
        }
        Decision::Untie(run) => {
            world.history.untie(run);
            next(world, index, Step::Release);
        }
        Decision::Answer(_) | Decision::Wait => next(world, index, Step::Release),
    }
}

/// Answers a request: with the unfinished full run, or with a new run.
fn answer(world: &mut World, index: usize, wish: usize) {
    let is_full = world.history.wishes.get(wish).is_some_and(|wish| wish.is_full);
    let records = world.history.records();
    let unfinished = records.iter().find(|run| run.status.is_unfinished() && run.is_full);
    if let Some(run) = unfinished.filter(|_| is_full) {
        world.history.answer(wish, run.id);
        return next(world, index, Step::Resume(run.id));
    }
    let cells = if is_full { world.settings.cells } else { 1 };
    open(world, index, New { trigger: Trigger::Request, tick: None, wish: Some(wish), is_full, cells });
}

fn open(world: &mut World, index: usize, new: New) {
    let fence = world.history.open(new, world.clock_of(index));
    if fence.is_some() {
        world.settled.start(new.tick, world.now);
    }
    begin(world, index, fence);
}

fn resume(world: &mut World, index: usize, run: RunId) {
    let fence = world.history.resume(run, world.clock_of(index));
    begin(world, index, fence);
}

/// Begins to work; without a fence, another process was faster.
fn begin(world: &mut World, index: usize, fence: Option<Fence>) {
    let reserved = (world.day_of(index), 0);
    let step = fence.map_or(Step::Release, |fence| Step::Send(Work { fence, reserved, away_since: None }));
    next(world, index, step);
}

fn send(world: &mut World, index: usize, mut work: Work) {
    let (clock, day) = (world.clock_of(index), world.day_of(index));
    let api = |error| Ending::Failed(crawl::Error::Api(error));
    if world.processes[index].is_stopping {
        return end(world, index, work, &Ending::Stopped);
    }
    if world.history.row(work.fence.run).is_none_or(|row| row.pending == 0) {
        let findings = Findings::none(StationMap::new(Vec::new(), 1000));
        return end(world, index, work, &Ending::Finished(Box::new(findings)));
    }
    match world.answer() {
        Api::Good => work.away_since = None,
        Api::Refused => return end(world, index, work, &api(kakao::Error::KeyRefused(String::new()))),
        Api::Spent => return end(world, index, work, &api(kakao::Error::QuotaSpent(String::new()))),
        Api::Away => {
            let silence = Duration::from_mins(30);
            if work.away_since.is_some() {
                return end(world, index, work, &api(kakao::Error::Away { silence, last: String::new() }));
            }
            work.away_since = Some(clock);
            let process = &mut world.processes[index];
            (process.step, process.wake) = (Step::Send(work), world.now + TimeDelta::minutes(30));
            return;
        }
    }
    if work.reserved.0 != day {
        give_back(world, &mut work);
        work.reserved = (day, 0);
    }
    if work.reserved.1 == 0 {
        let used = world.usage(day);
        if let Some(spent) = world.quotas().spent(used, day) {
            return end(world, index, work, &api(kakao::Error::AllowanceSpent(spent)));
        }
        let granted = world.quotas().left(used).min(RESERVE.into());
        world.use_requests(day, granted);
        work.reserved.1 = u32::try_from(granted).unwrap_or(0);
    }
    let pending = world.history.row(work.fence.run).map_or(0, |row| row.pending);
    let requests = SENT_AT_ONCE.min(work.reserved.1).min(pending);
    work.reserved.1 -= requests;
    world.send(work.fence.run, requests);
    let pace = world.pace;
    let process = &mut world.processes[index];
    (process.step, process.wake) = (Step::Write(work, requests), world.now + pace);
}

fn beat(world: &mut World, index: usize, work: Work) {
    match world.history.beat(work.fence, world.clock_of(index)) {
        Err(()) => end(world, index, work, &Ending::from(store::Error::Superseded(work.fence.run))),
        Ok(Some(reason)) => end(world, index, work, &Ending::Cancelled(reason)),
        Ok(None) if world.lock != Some(index) => {
            end(world, index, work, &Ending::LockLost(store::Error::Silent(Duration::from_secs(8))));
        }
        Ok(None) => next(world, index, Step::Send(work)),
    }
}

fn give_back(world: &mut World, work: &mut Work) {
    let (day, unused) = work.reserved;
    world.use_requests(day, -i64::from(unused));
    work.reserved.1 = 0;
}

/// Decides how the run ends, and begins to write that.
fn end(world: &mut World, index: usize, mut work: Work, ending: &Ending) {
    let clock = world.clock_of(index);
    if world.is_database_up {
        give_back(world, &mut work);
    }
    let counts = world.history.row(work.fence.run).map(counts).filter(|_| world.is_database_up);
    let run_end = ending::of(ending, counts.as_ref(), clock);
    next(world, index, Step::Conclude(work, run_end, clock, ATTEMPTS));
}

fn conclude(world: &mut World, index: usize, (work, run_end, at, _): (Work, RunEnd, At, u32)) {
    let is_recorded = world.history.finish(work.fence, &run_end, at);
    next(world, index, if is_recorded { Step::Forget } else { Step::Release });
}

fn release(world: &mut World, index: usize) {
    world.free_lock(index);
    if world.processes[index].by_hand.is_some() || world.processes[index].is_stopping {
        return world.end_process(index);
    }
    next(world, index, Step::Idle);
}

/// The counts of a run without findings.
fn counts(row: &Row) -> Counts {
    let cells_pending = i32::try_from(row.pending).unwrap_or(i32::MAX);
    Counts { cells_pending, stalled_count: row.stalled_count, ..Counts::default() }
}
