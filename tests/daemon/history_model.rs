//! The simulation's model of the run history, against the real store: the same operations in any order leave the same rows.

use std::num::NonZeroU32;
use std::ops::Range;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sanggwond::clock;
use sanggwond::domain::run::{RequestedScope, RunId, RunRecord, Scope, Status, Trigger};
use sanggwond::domain::schedule_pause::SchedulePause;
use sanggwond::domain::station::StationMap;
use sanggwond::store::{self, Fence, RunEnd, Store, Target};
use secrecy::SecretString;

use crate::ledger::{self, done};
use crate::support::Stage;
use history::{History, New};

#[path = "../simulation/history.rs"]
#[expect(dead_code, reason = "some of it is read only by the simulation")]
mod history;

/// Cells of a run.
const CELLS: u32 = 5;

/// One operation. Numbers choose one of the runs, fences, requests or ticks there are.
#[derive(Clone, Debug)]
enum Operation {
    Open {
        trigger: Trigger,
        tick: Option<u32>,
        is_full: bool,
    },
    Resume(usize),
    Write(usize, u32, u32),
    Beat(usize),
    Finish(usize, Status),
    Interrupt,
    Abandon(usize),
    Skip(u32),
    Tie(usize, u32),
    Untie(usize),
    Cancel(usize),
    EndCancelled,
    Request(bool),
    /// The oldest request: opened as a run, rejected, or answered with an existing run.
    Answer(u32, usize),
    Pause(Option<i64>),
    Unpause,
    Forget(u32),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation::{
        Abandon, Answer, Beat, Cancel, EndCancelled, Finish, Forget, Interrupt, Open, Pause, Request, Resume, Skip,
        Tie, Unpause, Untie, Write,
    };
    let any_one = || 0..usize::MAX;
    let tick = || 0..15_u32;
    let triggers = prop_oneof![Just(Trigger::Schedule), Just(Trigger::CatchUp), Just(Trigger::Manual)];
    let ends = [Status::Interrupted, Status::Succeeded, Status::Partial, Status::Failed, Status::Cancelled];
    prop_oneof![
        6 => (triggers, proptest::option::of(tick()), any::<bool>())
            .prop_map(|(trigger, tick, is_full)| Open { trigger, tick, is_full }),
        3 => any_one().prop_map(Resume),
        4 => (any_one(), 0..3_u32, 0..4_u32).prop_map(|(fence, cells, requests)| Write(fence, cells, requests)),
        2 => any_one().prop_map(Beat),
        6 => (any_one(), proptest::sample::select(ends.to_vec())).prop_map(|(fence, status)| Finish(fence, status)),
        3 => Just(Interrupt),
        2 => any_one().prop_map(Abandon),
        3 => tick().prop_map(Skip),
        2 => (any_one(), tick()).prop_map(|(run, tick)| Tie(run, tick)),
        1 => any_one().prop_map(Untie),
        2 => any_one().prop_map(Cancel),
        1 => Just(EndCancelled),
        2 => any::<bool>().prop_map(Request),
        3 => (0..3_u32, any_one()).prop_map(|(how, run)| Answer(how, run)),
        1 => proptest::option::of(-100..90_000_i64).prop_map(Pause),
        1 => Just(Unpause),
        1 => (1..20_u32).prop_map(Forget),
    ]
}

/// The store and its model, and what was done to both.
struct Both {
    store: Store,
    model: History,
    map: StationMap,
    fences: Vec<(Fence, Fence)>,
    /// The runs of the store and of the model.
    runs: Vec<(RunId, RunId)>,
    base: DateTime<Utc>,
}

fn pick<T: Copy>(from: &[T], number: usize) -> Option<T> {
    from.get(number % from.len().max(1)).copied()
}

impl Both {
    fn tick(&self, number: u32) -> DateTime<Utc> {
        self.base + TimeDelta::weeks(number.into())
    }

    /// Notes a run that both have opened, or that both refuse.
    fn opened(&mut self, real: Result<Fence, store::Error>, model: Option<Fence>) -> Result<(), TestCaseError> {
        prop_assert_eq!(real.is_ok(), model.is_some(), "{:?} {:?}", real, model);
        if let (Ok(real), Some(model)) = (real, model) {
            self.fences.push((real, model));
            self.runs.push((real.run, model.run));
        }
        Ok(())
    }

    async fn open(&mut self, new: New, request: Option<i64>, now: DateTime<Utc>) -> Result<(), TestCaseError> {
        let scope = (!new.is_full).then(|| Scope { keywords: vec!["카페".to_owned()], ..Scope::default() });
        let run = ledger::new_run(new.trigger, new.tick, scope, request);
        let real = ledger::opened(&self.store, &run, now).await.map(|(fence, _)| fence);
        let model = self.model.open(new, now);
        self.opened(real, model)
    }

    #[expect(clippy::too_many_lines, reason = "one arm per operation")]
    async fn apply(&mut self, operation: &Operation, now: DateTime<Utc>) -> Result<(), TestCaseError> {
        let fence = |number: &usize| pick(&self.fences, *number);
        let run = |number: &usize| pick(&self.runs, *number);
        match operation {
            Operation::Open { trigger, tick, is_full } => {
                let tick = tick.map(|tick| self.tick(tick));
                let new = New { trigger: *trigger, tick, wish: None, is_full: *is_full, cells: CELLS };
                self.open(new, None, now).await?;
            }
            Operation::Resume(number) => {
                let Some((real, model)) = run(number) else { return Ok(()) };
                let (real, model) = (self.store.resume_run(real, "here", now).await, self.model.resume(model, now));
                prop_assert_eq!(real.is_ok(), model.is_some());
                self.fences.extend(real.ok().zip(model));
            }
            Operation::Write(number, cells, requests) => {
                let Some((real, model)) = fence(number) else { return Ok(()) };
                let pending = self.store.pending_cells(real.run).await.unwrap();
                let batch: Vec<_> = pending.iter().take(*cells as usize).map(|cell| done(*cell, *requests)).collect();
                let written = self.store.write(real, &self.map, &batch, now).await;
                let cells = u32::try_from(batch.len()).unwrap();
                let is_held = self.model.write(model, cells, u64::from(cells * requests), now);
                prop_assert_eq!(written.is_ok(), is_held, "{:?}", written);
            }
            Operation::Beat(number) => {
                let Some((real, model)) = fence(number) else { return Ok(()) };
                let beaten = self.store.beat_run(real, None, now).await;
                prop_assert_eq!(beaten.map_err(drop), self.model.beat(model, now));
            }
            Operation::Finish(number, status) => {
                let Some((real, model)) = fence(number) else { return Ok(()) };
                let is_read = self.model.row(model.run).is_none_or(|row| row.pending == 0);
                // The database refuses a run that succeeded and has cells that were not read.
                let status = if is_read { status } else { &Status::Interrupted };
                let may_go_on = matches!(status, Status::Interrupted | Status::Failed);
                let resume_at = may_go_on.then_some(now);
                let end = RunEnd { status: *status, reason: Some("done".to_owned()), resume_at };
                let finished = self.store.finish_run(real, &end, None, now).await;
                prop_assert_eq!(finished.is_ok(), self.model.finish(model, &end, now), "{:?}", finished);
            }
            Operation::Interrupt => {
                self.store.interrupt_crashed_runs(now).await.unwrap();
                self.model.interrupt_crashed(now);
            }
            Operation::Abandon(number) => {
                let Some((real, model)) = run(number) else { return Ok(()) };
                self.store.abandon_run(real, "too late", now).await.unwrap();
                self.model.abandon(model, "too late", now);
            }
            Operation::Skip(tick) => {
                let tick = self.tick(*tick);
                self.store.skip_tick(tick, "missed", "here", now).await.unwrap();
                self.model.skip(tick, "missed", now);
            }
            Operation::Tie(number, tick) => {
                let (Some((real, model)), tick) = (run(number), self.tick(*tick)) else { return Ok(()) };
                self.store.tie_run(real, tick).await.unwrap();
                self.model.tie(model, tick);
            }
            Operation::Untie(number) => {
                let Some((real, model)) = run(number) else { return Ok(()) };
                self.store.untie_run(real).await.unwrap();
                self.model.untie(model);
            }
            Operation::Cancel(number) => {
                let Some((real, model)) = run(number) else { return Ok(()) };
                self.store.cancel_run(real, "cancelled", now).await.unwrap();
                self.model.cancel(model, "cancelled", now);
            }
            Operation::EndCancelled => {
                self.store.end_cancelled_runs(now).await.unwrap();
                self.model.end_cancelled(now);
            }
            Operation::Request(is_full) => {
                let keywords = if *is_full { Vec::new() } else { vec!["카페".to_owned()] };
                let scope = RequestedScope { keywords, ..RequestedScope::default() };
                self.store.request_run(&scope, "kim").await.unwrap();
                self.model.wish(*is_full, clock::now());
            }
            Operation::Answer(how, number) => return self.answer(*how, *number, now).await,
            Operation::Pause(seconds) => {
                let until = seconds.map(|seconds| now + TimeDelta::seconds(seconds));
                let pause = SchedulePause { since: now, until, reason: None, by: "kim".to_owned() };
                let is_valid = until.is_none_or(|until| until > now);
                if is_valid {
                    self.store.pause_schedule(&pause).await.unwrap();
                    self.model.pause(pause);
                }
            }
            Operation::Unpause => {
                self.store.unpause_schedule("kim", now).await.unwrap();
                self.model.unpause(now);
            }
            Operation::Forget(keep) => {
                self.store.forget_old_runs(NonZeroU32::new(*keep).unwrap()).await.unwrap();
                self.model.forget(*keep as usize);
            }
        }
        Ok(())
    }

    async fn answer(&mut self, how: u32, number: usize, now: DateTime<Utc>) -> Result<(), TestCaseError> {
        let (real, model) =
            (self.store.next_request("here", now).await.unwrap(), self.model.next_wish(clock::now(), now));
        prop_assert_eq!(real.is_some(), model.is_some());
        let (Some(real), Some(model)) = (real, model) else { return Ok(()) };
        match (how, pick(&self.runs, number)) {
            (0, _) => {
                let is_full = self.model.wishes[model].is_full;
                let new = New { trigger: Trigger::Request, tick: None, wish: Some(model), is_full, cells: CELLS };
                self.open(new, Some(real.id.0), now).await
            }
            (1, Some((run, run_of_model))) if self.model.row(run_of_model).is_some() => {
                self.store.answer_request(real.id, run).await.unwrap();
                self.model.answer(model, run_of_model);
                Ok(())
            }
            _ => {
                self.store.reject_request(&real, "no", "here", now).await.unwrap();
                self.model.reject(model, "no", now);
                Ok(())
            }
        }
    }

    /// All rows must be equal, and what the scheduler reads.
    async fn compare(&self, stage: &Stage) -> Result<(), TestCaseError> {
        let of_model: Vec<String> = self.model.rows.iter().map(ledger_row).collect();
        prop_assert_eq!(stage.texts(ROWS).await, of_model);
        let rank = |records: &[RunRecord]| -> Vec<String> {
            let number = |record: &RunRecord| format!("{:?}", RunRecord { id: RunId(0), ..record.clone() });
            records.iter().map(number).collect()
        };
        let (real, model) = (rank(&self.store.run_records().await.unwrap()), rank(&self.model.records()));
        prop_assert_eq!(real.join("\n"), model.join("\n"));
        prop_assert_eq!(self.store.schedule_pauses().await.unwrap(), self.model.read_pauses());
        Ok(())
    }
}

/// A row of the store, as [`ledger_row`] shows one of the model. A skipped row has no cells.
const ROWS: &str = "select concat_ws(' ', trigger, status, coalesce(extract(epoch from scheduled_for)::bigint, 0),
        extract(epoch from heartbeat_at)::bigint, extract(epoch from started_at)::bigint,
        coalesce(extract(epoch from finished_at)::bigint, 0), coalesce(extract(epoch from resume_at)::bigint, 0), stalled_count,
        requests, case when status = 'skipped' then 0 else cells_pending end, reason is not null, coalesce(cancel_reason, '-'))
    from crawl_run order by crawl_run_id";

fn ledger_row(row: &history::Row) -> String {
    let RunRecord { trigger, status, scheduled_for, heartbeat_at, started_at, finished_at, resume_at, .. } = row.record;
    let seconds = |at: Option<DateTime<Utc>>| at.map_or(0, |at| at.timestamp());
    format!(
        "{trigger} {status} {} {} {} {} {} {} {} {} {} {}",
        seconds(scheduled_for),
        seconds(Some(heartbeat_at)),
        seconds(Some(started_at)),
        seconds(finished_at),
        seconds(resume_at),
        row.stalled_count,
        row.requests,
        row.pending,
        if row.reason.is_some() { 't' } else { 'f' },
        row.cancel_reason.as_deref().unwrap_or("-")
    )
}

/// Operations, each with the clock of its process: hours or days beside the right time.
fn operations(number: Range<usize>) -> impl Strategy<Value = Vec<(Operation, i64)>> {
    let clock = proptest::sample::select(vec![-3 * 86_400, -3600, 0, 0, 0, 3600, 3 * 86_400]);
    vec((operation(), clock), number)
}

/// Carries out the operations on an empty history, and compares after each of them.
async fn play(stage: &Stage, store: &Store, operations: &[(Operation, i64)]) -> Result<(), TestCaseError> {
    stage.execute("truncate crawl_run, schedule_pause, run_request cascade").await;
    let base = clock::now().trunc_subsecs(0);
    let (fences, runs, map) = (Vec::new(), Vec::new(), StationMap::new(Vec::new(), 1000));
    let mut both = Both { store: store.clone(), model: History::default(), map, fences, runs, base };
    for (number, (operation, offset)) in (0_i64..).zip(operations) {
        let now = base + TimeDelta::seconds(offset + number);
        both.apply(operation, now).await?;
        both.compare(stage).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_sequence_of_operations_leaves_the_same_rows_as_in_the_model_of_the_simulation() {
    let stage = Stage::small().await;
    stage.program(&["migrate"]).finish().await.expect_code(0);
    let url = SecretString::from(stage.database.url.clone());
    let store = Store::connect(&Target::parse(&url).unwrap()).await.unwrap();

    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let played = runner.run(&operations(5..60), |operations| {
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(play(&stage, &store, &operations)))
    });

    assert!(played.is_ok(), "{}", played.unwrap_err());
    store.close().await;
}
