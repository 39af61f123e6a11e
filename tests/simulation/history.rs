//! A model of the run history in memory: every method is one transaction of the store, with the same effect on the rows that
//! the scheduler reads. A test in `tests/daemon/history_model.rs` compares it with the real store.

use std::cell::RefCell;
use std::rc::Rc;

use chrono::{DateTime, TimeDelta, Utc};
use sanggwond::domain::run::{RunId, RunRecord, Status, Trigger, pause_before_resuming};
use sanggwond::domain::schedule_pause::SchedulePause;
use sanggwond::store::{Fence, RunEnd};

/// Number of newest runs, and of newest ticks, that the scheduler reads.
const LOOK_BACK: usize = 100;

/// Number of ticks whose rows are never deleted.
const KEPT_TICKS: usize = 10;

/// Number of pauses that the scheduler reads.
const PAUSES: usize = 100;

/// A request that no daemon has answered for this long expires.
const EXPIRES_AFTER: TimeDelta = TimeDelta::days(1);

/// An instant.
pub(crate) type At = DateTime<Utc>;

/// A row of the run history.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) record: RunRecord,
    pub(crate) reason: Option<String>,
    pub(crate) stalled_count: i32,
    pub(crate) cancel_reason: Option<String>,
    /// Requests that its cells account for.
    pub(crate) requests: u64,
    /// Cells that are not read yet.
    pub(crate) pending: u32,
}

/// A request for a run.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) requested_at: At,
    pub(crate) is_full: bool,
    /// The run that answers it.
    pub(crate) run: Option<RunId>,
}

/// A pause of the schedule.
#[derive(Clone, Debug)]
struct Pause {
    pause: SchedulePause,
    /// Whether a user has ended it.
    is_ended: bool,
}

/// The values with which a run is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New {
    pub(crate) trigger: Trigger,
    pub(crate) tick: Option<At>,
    /// The number of the request that it answers.
    pub(crate) wish: Option<usize>,
    pub(crate) is_full: bool,
    pub(crate) cells: u32,
}

/// The run history, the pauses and the requests; the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) rows: Vec<Row>,
    pauses: Vec<Pause>,
    pub(crate) wishes: Vec<Wish>,
    /// Rows that have changed since they were last checked.
    pub(crate) changed: Vec<RunId>,
    /// What was read since the last change.
    read: RefCell<Option<Rc<[RunRecord]>>>,
    last_id: i64,
}

impl History {
    /// What the scheduler reads, newest first.
    pub(crate) fn records(&self) -> Rc<[RunRecord]> {
        Rc::clone(self.read.borrow_mut().get_or_insert_with(|| self.read_records().into()))
    }

    fn read_records(&self) -> Vec<RunRecord> {
        let mut ticks: Vec<At> = self.rows.iter().filter_map(|row| row.record.scheduled_for).collect();
        ticks.sort_unstable_by(|one, other| other.cmp(one));
        ticks.truncate(LOOK_BACK);
        let is_read = |(age, row): &(usize, &Row)| {
            let has_tick = row.record.scheduled_for.is_some_and(|tick| ticks.contains(&tick));
            *age < LOOK_BACK || has_tick || row.record.status.is_unfinished()
        };
        self.rows.iter().rev().enumerate().filter(is_read).map(|(_, row)| row.record.clone()).collect()
    }

    /// The pauses that the scheduler reads, newest first.
    pub(crate) fn read_pauses(&self) -> Vec<SchedulePause> {
        self.pauses.iter().rev().take(PAUSES).map(|pause| pause.pause.clone()).collect()
    }

    pub(crate) fn row(&self, run: RunId) -> Option<&Row> {
        self.rows.binary_search_by_key(&run, |row| row.record.id).ok().and_then(|index| self.rows.get(index))
    }

    /// Notes that a row changes.
    fn touch(&mut self, run: RunId) {
        *self.read.get_mut() = None;
        self.changed.push(run);
    }

    fn row_mut(&mut self, run: RunId) -> Option<&mut Row> {
        self.touch(run);
        self.rows.binary_search_by_key(&run, |row| row.record.id).ok().and_then(|index| self.rows.get_mut(index))
    }

    /// The runs with a property.
    fn with(&self, has: impl Fn(&Row) -> bool) -> Vec<RunId> {
        self.rows.iter().filter(|row| has(row)).map(|row| row.record.id).collect()
    }

    fn held(&mut self, fence: Fence) -> Option<&mut Row> {
        let is_held =
            |row: &&mut Row| row.record.status == Status::Running && row.record.resumed_count == fence.resumed_count;
        self.row_mut(fence.run).filter(is_held)
    }

    fn insert(&mut self, new: New, (status, reason): (Status, Option<String>), now: At) -> RunId {
        self.last_id += 1;
        let record = RunRecord {
            id: RunId(self.last_id),
            trigger: new.trigger,
            scheduled_for: new.tick,
            status,
            started_at: now,
            finished_at: (!status.is_unfinished()).then_some(now),
            heartbeat_at: now,
            resume_at: None,
            resumed_count: 0,
            is_full: new.is_full,
            is_requested: new.wish.is_some(),
        };
        let id = record.id;
        self.touch(id);
        self.rows.push(Row { record, reason, stalled_count: 0, cancel_reason: None, requests: 0, pending: new.cells });
        id
    }

    fn has_row(&self, tick: Option<At>) -> bool {
        tick.is_some() && self.rows.iter().any(|row| row.record.scheduled_for == tick)
    }

    /// Whether a run is at work: then no other begins.
    fn is_at_work(&self) -> bool {
        self.rows.iter().any(|row| row.record.status == Status::Running)
    }

    /// Opens a run; `None` if another is at work, its tick has a row, or its request an answer.
    pub(crate) fn open(&mut self, new: New, now: At) -> Option<Fence> {
        let is_answered = new.wish.is_some_and(|wish| self.wishes.get(wish).is_none_or(|wish| wish.run.is_some()));
        if self.has_row(new.tick) || is_answered || self.is_at_work() {
            return None;
        }
        let run = self.insert(new, (Status::Running, None), now);
        if let Some(wish) = new.wish {
            self.answer(wish, run);
        }
        Some(Fence { run, resumed_count: 0, generation: 0 })
    }

    /// Resumes a run; `None` if it is finished, or another is at work.
    pub(crate) fn resume(&mut self, run: RunId, now: At) -> Option<Fence> {
        if self.is_at_work() {
            return None;
        }
        let is_resumable = |row: &&mut Row| match row.record.status {
            Status::Interrupted => true,
            Status::Failed => row.record.resume_at.is_some(),
            Status::Running | Status::Succeeded | Status::Partial | Status::Cancelled | Status::Skipped => false,
        };
        let row = self.row_mut(run).filter(is_resumable)?;
        let resumed_count = row.record.resumed_count + 1;
        row.record = RunRecord {
            status: Status::Running,
            finished_at: None,
            heartbeat_at: now,
            resume_at: None,
            resumed_count,
            ..row.record.clone()
        };
        (row.reason, row.stalled_count) = (None, row.stalled_count + 1);
        Some(Fence { run, resumed_count, generation: 0 })
    }

    /// Records cells that were read, and the requests that this took; whether the holder still has the run.
    pub(crate) fn write(&mut self, fence: Fence, cells: u32, requests: u64, now: At) -> bool {
        let Some(row) = self.held(fence) else { return false };
        row.record.heartbeat_at = now;
        row.pending = row.pending.saturating_sub(cells);
        row.requests += requests;
        if cells > 0 {
            row.stalled_count = 0;
        }
        true
    }

    /// Updates the heartbeat; the reason if the run was cancelled. An error if the holder has lost the run.
    pub(crate) fn beat(&mut self, fence: Fence, now: At) -> Result<Option<String>, ()> {
        let row = self.held(fence).ok_or(())?;
        row.record.heartbeat_at = now;
        Ok(row.cancel_reason.clone())
    }

    /// Finishes or interrupts a run; whether the holder still had it, or has stored the same end before.
    pub(crate) fn finish(&mut self, fence: Fence, end: &RunEnd, now: At) -> bool {
        if let Some(row) = self.held(fence) {
            row.record.status = end.status;
            row.record.finished_at = (!end.status.is_unfinished()).then_some(now.max(row.record.started_at));
            row.record.resume_at = end.resume_at;
            row.reason.clone_from(&end.reason);
            row.record.heartbeat_at = now;
            return true;
        }
        self.row(fence.run).is_some_and(|row| {
            (row.record.resumed_count, row.record.status, row.record.heartbeat_at)
                == (fence.resumed_count, end.status, now)
        })
    }

    /// Marks the runs that are `running` as interrupted.
    pub(crate) fn interrupt_crashed(&mut self, now: At) {
        for run in self.with(|row| row.record.status == Status::Running) {
            let Some(row) = self.row_mut(run) else { continue };
            row.record.status = Status::Interrupted;
            row.record.resume_at = Some(row.record.heartbeat_at.min(now) + pause_before_resuming(row.stalled_count));
            row.reason = Some("its process ended unexpectedly".to_owned());
        }
    }

    /// Marks an interrupted run as failed.
    pub(crate) fn abandon(&mut self, run: RunId, reason: &str, now: At) {
        if let Some(row) = self.row_mut(run).filter(|row| row.record.status == Status::Interrupted) {
            close(row, Status::Failed, reason.to_owned(), now);
        }
    }

    /// Records a tick as skipped, unless it has a row.
    pub(crate) fn skip(&mut self, tick: At, reason: &str, now: At) {
        if !self.has_row(Some(tick)) {
            let new = New { trigger: Trigger::Schedule, tick: Some(tick), wish: None, is_full: true, cells: 0 };
            self.insert(new, (Status::Skipped, Some(reason.to_owned())), now);
        }
    }

    /// Records that a run without a tick counts for a tick, unless that has a row.
    pub(crate) fn tie(&mut self, run: RunId, tick: At) {
        if self.has_row(Some(tick)) {
            return;
        }
        if let Some(row) = self.row_mut(run).filter(|row| row.record.scheduled_for.is_none()) {
            row.record.scheduled_for = Some(tick);
        }
    }

    /// Removes the tick from a run.
    pub(crate) fn untie(&mut self, run: RunId) {
        if let Some(row) = self.row_mut(run) {
            row.record.scheduled_for = None;
            let before = row.reason.take().map(|reason| reason + "; ").unwrap_or_default();
            row.reason = Some(before + "the clock was ahead");
        }
    }

    /// Cancels an unfinished run.
    pub(crate) fn cancel(&mut self, run: RunId, reason: &str, now: At) {
        let Some(row) = self.row_mut(run).filter(|row| row.record.status.is_unfinished()) else { return };
        row.cancel_reason.get_or_insert_with(|| reason.to_owned());
        if row.record.status == Status::Interrupted {
            self.end_cancelled(now);
        }
    }

    /// Whether a cancelled run has no process that could end it.
    pub(crate) fn has_cancelled(&self) -> bool {
        self.rows.iter().any(|row| row.record.status == Status::Interrupted && row.cancel_reason.is_some())
    }

    /// Ends the cancelled runs that have no process.
    pub(crate) fn end_cancelled(&mut self, now: At) {
        for run in self.with(|row| row.record.status == Status::Interrupted && row.cancel_reason.is_some()) {
            let Some(row) = self.row_mut(run) else { continue };
            let reason = row.cancel_reason.clone().unwrap_or_default();
            close(row, Status::Cancelled, reason, now);
        }
    }

    /// Requests a run.
    pub(crate) fn wish(&mut self, is_full: bool, now: At) {
        self.wishes.push(Wish { requested_at: now, is_full, run: None });
    }

    /// The oldest request that is not answered, after those that have expired by the clock of the database were rejected.
    pub(crate) fn next_wish(&mut self, database: At, now: At) -> Option<usize> {
        loop {
            let (index, wish) = self.wishes.iter().enumerate().find(|(_, wish)| wish.run.is_none())?;
            if database - wish.requested_at <= EXPIRES_AFTER {
                return Some(index);
            }
            self.reject(index, "no daemon could start it within a day", now);
        }
    }

    /// Answers a request with a skipped row.
    pub(crate) fn reject(&mut self, wish: usize, reason: &str, now: At) {
        let is_full = self.wishes.get(wish).is_none_or(|wish| wish.is_full);
        let new = New { trigger: Trigger::Request, tick: None, wish: Some(wish), is_full, cells: 0 };
        let run = self.insert(new, (Status::Skipped, Some(reason.to_owned())), now);
        self.answer(wish, run);
    }

    /// Answers a request with a run, unless it is answered.
    pub(crate) fn answer(&mut self, wish: usize, run: RunId) {
        if let Some(wish) = self.wishes.get_mut(wish).filter(|wish| wish.run.is_none()) {
            wish.run = Some(run);
            if let Some(row) = self.row_mut(run) {
                row.record.is_requested = true;
            }
        }
    }

    /// Pauses the schedule.
    pub(crate) fn pause(&mut self, pause: SchedulePause) {
        self.unpause(pause.since);
        self.pauses.push(Pause { pause, is_ended: false });
    }

    /// Ends the pause of the schedule.
    pub(crate) fn unpause(&mut self, now: At) {
        for Pause { pause, is_ended } in self.pauses.iter_mut().filter(|pause| !pause.is_ended) {
            pause.until = Some(pause.until.map_or(now, |until| until.min(now)).max(pause.since));
            *is_ended = true;
        }
    }

    /// Deletes old rows: all but the newest, the unfinished ones, and those of the last ten ticks.
    pub(crate) fn forget(&mut self, keep: usize) {
        let mut ticks: Vec<At> = self.rows.iter().filter_map(|row| row.record.scheduled_for).collect();
        ticks.sort_unstable_by(|one, other| other.cmp(one));
        ticks.truncate(KEPT_TICKS);
        *self.read.get_mut() = None;
        let old = self.rows.len().saturating_sub(keep);
        let mut index = 0;
        self.rows.retain(|row| {
            index += 1;
            let has_tick = row.record.scheduled_for.is_some_and(|tick| ticks.contains(&tick));
            index > old || has_tick || row.record.status.is_unfinished()
        });
    }
}

fn close(row: &mut Row, status: Status, reason: String, now: At) {
    row.record.status = status;
    row.record.resume_at = None;
    row.record.finished_at = Some(now.max(row.record.started_at));
    row.reason = Some(reason);
}
