//! The simulated world: a clock, a database, an API, and processes that take one step at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use sanggwond::domain::quota::{Quotas, Usage, day_of, first_of_month};
use sanggwond::domain::run::RunId;
use sanggwond::domain::schedule::Schedule;
use sanggwond::domain::schedule_pause::SchedulePause;
use sanggwond::scheduler::decide::Windows;

use crate::adversary::{Api, Event, Life, Settings, What, When};
use crate::audit::{self, Settled};
use crate::history::{At, History};
use crate::process::{Process, State, Step};

/// The process of `sanggwond crawl`, after those of the daemons.
const BY_HAND: usize = 3;

/// How long after a change of the tables a daemon looks at them: within a heartbeat.
const HEARTBEAT: TimeDelta = TimeDelta::seconds(5);

/// The longest time that a daemon sleeps in the simulation although nothing is due. A real one looks every ten seconds.
const LONGEST_SLEEP: TimeDelta = TimeDelta::days(10);

/// How long after the last event everything must be in order.
pub(crate) const CALM_AFTER: TimeDelta = TimeDelta::hours(3);

/// How long the API is away at most: a run that is tried again every half an hour takes many steps.
const LONGEST_OUTAGE: TimeDelta = TimeDelta::hours(20);

/// More steps on one day mean that a process decides the same again and again.
const MOST_STEPS: u32 = 3_000;

/// What a check found, as a sentence.
pub(crate) type Check = Result<(), String>;

/// The world.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) schedule: Schedule,
    pub(crate) now: At,
    pub(crate) history: History,
    /// The process whose session holds the run lock.
    pub(crate) lock: Option<usize>,
    pub(crate) is_database_up: bool,
    api: Api,
    api_since: At,
    pub(crate) pace: TimeDelta,
    usage: BTreeMap<NaiveDate, i64>,
    /// Requests that the database counts, less those that were sent.
    pub(crate) unsent: i64,
    pub(crate) sent: BTreeMap<RunId, u64>,
    pub(crate) processes: Vec<Process>,
    /// What daemons have done about each tick by themselves.
    pub(crate) settled: Settled,
    /// When the last event was.
    pub(crate) disturbed_at: At,
    /// The first tick whose row has not been checked.
    next_audit: Option<At>,
    pub(crate) steps: u64,
    /// The steps of a day.
    steps_today: (NaiveDate, u32),
    trace: Option<Vec<String>>,
}

impl World {
    pub(crate) fn new(settings: Settings) -> Result<Self, String> {
        let (expression, zone) = settings.schedule();
        let schedule = Schedule::parse(expression, zone).map_err(|error| error.to_string())?;
        let begins_at = settings.begins_at;
        let mut processes = vec![Process::new(); BY_HAND + 1];
        for process in processes.iter_mut().take(settings.daemons) {
            process.start(begins_at);
        }
        Ok(Self {
            next_audit: schedule.next_after(begins_at),
            schedule,
            settings,
            now: begins_at,
            history: History::default(),
            lock: None,
            is_database_up: true,
            api: Api::Good,
            api_since: begins_at,
            pace: TimeDelta::seconds(20),
            usage: BTreeMap::new(),
            unsent: 0,
            sent: BTreeMap::new(),
            processes,
            settled: Settled::default(),
            disturbed_at: begins_at,
            steps: 0,
            steps_today: (begins_at.date_naive(), 0),
            trace: None,
        })
    }

    pub(crate) fn windows(&self) -> Windows {
        self.settings.windows
    }

    pub(crate) fn quotas(&self) -> Quotas {
        self.settings.quotas
    }

    /// How the API answers; an outage ends after a while.
    pub(crate) fn answer(&self) -> Api {
        let is_over = self.api == Api::Away && self.now - self.api_since > LONGEST_OUTAGE;
        if is_over { Api::Good } else { self.api }
    }

    /// The time that a process sees.
    pub(crate) fn clock_of(&self, process: usize) -> At {
        self.now + self.processes[process].offset
    }

    /// The latest of the clocks of the database, which is right, and of the daemons that are alive.
    pub(crate) fn latest_clock(&self) -> At {
        let is_alive = |process: &&Process| process.state == State::Awake;
        let ahead = self.processes.iter().take(BY_HAND).filter(is_alive).map(|process| process.offset).max();
        self.now + ahead.unwrap_or_default().max(TimeDelta::zero())
    }

    /// The requests of a day and its month.
    pub(crate) fn usage(&self, day: NaiveDate) -> Usage {
        let today = self.usage.get(&day).copied().unwrap_or(0);
        Usage { today, this_month: self.usage.range(first_of_month(day)..=day).map(|(_, used)| used).sum() }
    }

    pub(crate) fn use_requests(&mut self, day: NaiveDate, requests: i64) {
        let used = self.usage.entry(day).or_default();
        let now_used = (*used + requests).max(0);
        self.unsent += now_used - *used;
        *used = now_used;
    }

    /// Notes that a run has sent requests.
    pub(crate) fn send(&mut self, run: RunId, requests: u32) {
        *self.sent.entry(run).or_default() += u64::from(requests);
        self.unsent -= i64::from(requests);
    }

    /// Wakes the daemons that wait: a real one looks at every heartbeat.
    pub(crate) fn notify(&mut self) {
        let at = self.now + HEARTBEAT;
        for process in self.processes.iter_mut().filter(|process| matches!(process.step, Step::Idle)) {
            process.wake = process.wake.min(at);
        }
    }

    /// When a daemon that found nothing to do looks again: as soon as its clock shows an instant at which that may change.
    pub(crate) fn sleep(&mut self, index: usize) {
        let clock = self.clock_of(index);
        let Windows { catch_up, resume, .. } = self.windows();
        let second = TimeDelta::seconds(1);
        let span = |window: Duration| TimeDelta::from_std(window).unwrap_or(LONGEST_SLEEP) + second;
        let mut instants = vec![clock + LONGEST_SLEEP];
        instants.extend(self.schedule.next_after(clock));
        let is_open = |tick: &At| !self.history.rows.iter().any(|row| row.record.scheduled_for == Some(*tick));
        instants.extend(self.schedule.last_until(clock).filter(is_open).map(|tick| tick + span(catch_up)));
        for row in self.history.rows.iter().filter(|row| row.record.status.is_unfinished()) {
            instants.extend(row.record.resume_at);
            instants.extend(
                [Some(row.record.started_at), row.record.scheduled_for]
                    .into_iter()
                    .flatten()
                    .map(|at| at + span(resume)),
            );
        }
        instants.extend(self.history.read_pauses().iter().filter_map(|pause| pause.until));
        let next = instants.into_iter().filter(|at| *at > clock).min().unwrap_or(clock + LONGEST_SLEEP);
        let process = &mut self.processes[index];
        process.wake = self.now + (next - clock);
    }

    /// Lives a life; the time that has passed, and the number of steps. `trace` gets a line for each event and step.
    pub(crate) fn live(life: &Life, trace: Option<&mut Vec<String>>) -> Result<(TimeDelta, u64), String> {
        let mut world = Self::new(life.settings.clone())?;
        world.trace = trace.as_ref().map(|_| Vec::new());
        let lived = world.go_through(life);
        if let (Some(trace), Some(lines)) = (trace, world.trace.take()) {
            *trace = lines;
        }
        lived.map(|()| (world.now - life.settings.begins_at, world.steps))
    }

    fn go_through(&mut self, life: &Life) -> Check {
        let world = self;
        for event in &life.events {
            world.wait_for(event)?;
            world.happen(event.what);
            audit::check(world)?;
        }
        world.happen(What::Repair);
        world.go_until(world.now + TimeDelta::days(70))
    }

    /// Adds a line to the trace.
    fn note(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{now} {}", line()));
        }
    }

    fn wait_for(&mut self, event: &Event) -> Check {
        match event.when {
            When::After(time) => self.go_until(self.now + time),
            When::AroundTick(time) => {
                let tick = self.schedule.next_after(self.now).unwrap_or(self.now);
                self.go_until((tick + time).max(self.now))
            }
            When::BeforeStep(steps) => {
                let end = self.now + TimeDelta::days(30);
                for _ in 0..steps {
                    let Some(process) = self.next_process(end) else { return Ok(()) };
                    self.step(process)?;
                }
                Ok(())
            }
        }
    }

    /// The process that takes the next step, if that is before `end`.
    fn next_process(&self, end: At) -> Option<usize> {
        let is_ready = |process: &&Process| process.state == State::Awake && process.wake <= end;
        let ready = self.processes.iter().enumerate().filter(|(_, process)| is_ready(process));
        ready.min_by_key(|(_, process)| process.wake).map(|(index, _)| index)
    }

    fn go_until(&mut self, end: At) -> Check {
        loop {
            let audit = self.next_audit.map(|tick| tick + CALM_AFTER).filter(|at| *at <= end);
            let next = self.next_process(audit.unwrap_or(end));
            match (next, audit) {
                (Some(process), _) => self.step(process)?,
                (None, Some(at)) => {
                    self.now = self.now.max(at);
                    self.audit()?;
                }
                (None, None) => break,
            }
        }
        self.now = self.now.max(end);
        Ok(())
    }

    fn step(&mut self, process: usize) -> Check {
        let wake = self.processes[process].wake;
        let (_, steps) = &mut self.steps_today;
        *steps += 1;
        if *steps > MOST_STEPS {
            return Err(format!("process {process} does not come to rest: {:?}", self.processes[process].step));
        }
        self.now = self.now.max(wake);
        if self.steps_today.0 != self.now.date_naive() {
            self.steps_today = (self.now.date_naive(), 0);
        }
        self.steps += 1;
        if self.trace.is_some() {
            let line = format!("process {process}: {:?}", self.processes[process].step);
            self.note(|| line);
        }
        Process::step(self, process)?;
        audit::check(self)
    }

    /// Checks the last tick whose outcome must be known by now.
    fn audit(&mut self) -> Check {
        let Some(tick) = self.next_audit else { return Ok(()) };
        self.next_audit = self.schedule.next_after(self.now - CALM_AFTER);
        if self.is_calm() { audit::calm(self, tick) } else { Ok(()) }
    }

    /// Whether everything works and nothing has happened for a while.
    fn is_calm(&self) -> bool {
        let is_well = |process: &Process| process.state == State::Awake;
        let has_daemon = self.processes.iter().take(BY_HAND).any(is_well);
        let is_asleep = self.processes.iter().any(|process| process.state == State::Suspended);
        let is_exact = self.processes.iter().all(|process| process.offset.is_zero());
        let is_paused = self.history.read_pauses().iter().any(|pause| pause.holds(self.now));
        let is_good = self.is_database_up && self.answer() == Api::Good && self.pace < TimeDelta::minutes(1);
        has_daemon && !is_asleep && is_exact && is_good && !is_paused && self.now - self.disturbed_at > CALM_AFTER
    }

    fn happen(&mut self, what: What) {
        self.disturbed_at = self.now;
        let now = self.now;
        self.note(|| format!("-- {what:?}"));
        match what {
            What::Kill(index) => self.end_process(index),
            What::Start(index) => {
                if index < self.settings.daemons && self.processes[index].state == State::Down {
                    self.processes[index].start(now);
                }
            }
            What::Stop(index) => self.processes[index].stop(now),
            What::Suspend(index) => {
                self.processes[index].suspend();
                self.free_lock(index);
            }
            What::GoOn(index) => self.processes[index].go_on(now),
            What::Clock(index, offset) => self.processes[index].offset = offset,
            What::LoseLock => self.lock = None,
            What::Database(is_up) => {
                self.is_database_up = is_up;
                self.lock = self.lock.filter(|_| is_up);
            }
            What::Api(api) => (self.api, self.api_since) = (api, now),
            What::Pace(pace) => {
                self.pace = TimeDelta::from_std(pace).unwrap_or(TimeDelta::MAX);
                let soon = now + self.pace;
                // What would have taken days at the former pace is over.
                for process in &mut self.processes {
                    process.wake = process.wake.min(soon).max(now);
                }
            }
            What::Pause(length) => {
                let until = length.map(|length| now + length);
                let pause = SchedulePause { since: now, until, reason: None, by: String::new() };
                self.by_hand(|history| history.pause(pause));
            }
            What::Unpause => self.by_hand(|history| history.unpause(now)),
            What::Cancel => {
                let unfinished = self.history.rows.iter().rfind(|row| row.record.status.is_unfinished());
                if let Some(run) = unfinished.map(|row| row.record.id) {
                    self.by_hand(|history| history.cancel(run, "cancelled", now));
                }
            }
            What::Request(is_full) => self.by_hand(|history| history.wish(is_full, now)),
            What::Crawl { is_full, is_fresh } => {
                if self.processes[BY_HAND].state == State::Down {
                    self.processes[BY_HAND].crawl((is_full, is_fresh), now);
                }
            }
            What::Repair => self.repair(),
        }
        self.notify();
    }

    /// A command of an operator, which needs the database.
    fn by_hand(&mut self, command: impl FnOnce(&mut History)) {
        if self.is_database_up {
            command(&mut self.history);
        }
    }

    fn repair(&mut self) {
        let now = self.now;
        (self.is_database_up, self.api, self.pace) = (true, Api::Good, TimeDelta::seconds(20));
        self.history.unpause(now);
        let daemons = self.settings.daemons;
        for (index, process) in self.processes.iter_mut().enumerate() {
            process.offset = TimeDelta::zero();
            process.go_on(now);
            // What took days at the former pace is over.
            process.wake = process.wake.min(now + TimeDelta::minutes(1)).max(now);
            if index < daemons && process.state == State::Down {
                process.start(now);
            }
        }
    }

    /// Ends a process and its sessions.
    pub(crate) fn end_process(&mut self, index: usize) {
        self.processes[index].end();
        self.free_lock(index);
    }

    /// Frees the run lock, if this process holds it.
    pub(crate) fn free_lock(&mut self, index: usize) {
        if self.lock == Some(index) {
            self.lock = None;
            self.notify();
        }
    }

    /// The day in Seoul that a process sees.
    pub(crate) fn day_of(&self, process: usize) -> NaiveDate {
        day_of(self.clock_of(process))
    }
}
