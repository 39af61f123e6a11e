//! What happens to the simulated machines: settings and events, drawn at random.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use sanggwond::domain::quota::Quotas;
use sanggwond::scheduler::decide::Windows;

/// Schedules and zones. New York has daylight saving time, and the 02:30 that it leaves out and repeats; Lord Howe has half an
/// hour of it; Santiago changes at midnight.
const SCHEDULES: [(&str, &str); 7] = [
    ("0 0 3 * * Mon", "Asia/Seoul"),
    ("0 0 3 * * Mon", "Asia/Seoul"),
    ("0 30 2 * * Sun", "America/New_York"),
    ("0 15 2 * * Sun", "Australia/Lord_Howe"),
    ("0 0 0 * * Sun", "America/Santiago"),
    ("0 0 3 1 * *", "Asia/Seoul"),
    ("0 0 3 * * Mon", "Europe/Berlin"),
];

/// A life: an installation and all that happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) settings: Settings,
    pub(crate) events: Vec<Event>,
}

/// The settings of an installation.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Index into [`SCHEDULES`].
    schedule: usize,
    pub(crate) windows: Windows,
    pub(crate) quotas: Quotas,
    pub(crate) keep_runs: usize,
    pub(crate) daemons: usize,
    pub(crate) cells: u32,
    pub(crate) begins_at: DateTime<Utc>,
}

impl Settings {
    /// The cron expression, and its time zone.
    pub(crate) fn schedule(&self) -> (&'static str, &'static str) {
        SCHEDULES.get(self.schedule).copied().unwrap_or(SCHEDULES[0])
    }
}

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) when: When,
    pub(crate) what: What,
}

/// When it happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// So long after the event before it.
    After(TimeDelta),
    /// So long after the next tick, or before it.
    AroundTick(TimeDelta),
    /// Before the step, so many steps from now, of any process: each step is at most one transaction or one request.
    BeforeStep(u32),
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    /// A process gets SIGKILL.
    Kill(usize),
    /// A daemon starts.
    Start(usize),
    /// A process gets SIGTERM.
    Stop(usize),
    /// A process is stopped, and the database ends its sessions.
    Suspend(usize),
    /// It goes on.
    GoOn(usize),
    /// The clock of a machine is set wrong by so much.
    Clock(usize, TimeDelta),
    /// The database ends the session of the run lock.
    LoseLock,
    /// The database stops, or is reachable again.
    Database(bool),
    /// How the API answers.
    Api(Api),
    /// How long ten requests take.
    Pace(Duration),
    /// The schedule is paused, for so long or until further notice.
    Pause(Option<TimeDelta>),
    /// The pause ends.
    Unpause,
    /// The newest unfinished run is cancelled.
    Cancel,
    /// A run is requested: a full one, or a part.
    Request(bool),
    /// `sanggwond crawl`: a full run, or a part; with or without `--fresh`.
    Crawl { is_full: bool, is_fresh: bool },
    /// Somebody repairs everything.
    Repair,
}

/// How the API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Good,
    /// 503.
    Away,
    /// 401.
    Refused,
    /// 429 with the code of a spent quota.
    Spent,
}

/// A life with some hundred weeks in the mean.
pub(crate) fn life() -> impl Strategy<Value = Life> {
    (settings(), vec(event(), 0..120)).prop_map(|(settings, events)| Life { settings, events })
}

fn settings() -> impl Strategy<Value = Settings> {
    let windows = (prop_oneof![4 => Just(24 * 7), 1 => 1..400_u64], prop_oneof![4 => Just(72), 1 => 1..200_u64]);
    let quotas =
        (prop_oneof![4 => Just(100_000), 1 => 20..300_u32], prop_oneof![4 => Just(3_000_000), 1 => 60..2000_u32]);
    let sizes = (20..30_usize, 1..=3_usize, prop_oneof![3 => Just(10_u32), 1 => 1..60_u32]);
    (0..SCHEDULES.len(), windows, quotas, sizes, 0..40 * 366 * 86_400_i64).prop_map(
        |(schedule, (catch_up, resume), (daily, monthly), (keep_runs, daemons, cells), after)| Settings {
            schedule,
            windows: Windows {
                is_enabled: true,
                catch_up: Duration::from_hours(catch_up),
                resume: Duration::from_hours(resume),
            },
            quotas: Quotas { daily, monthly },
            keep_runs,
            daemons,
            cells,
            begins_at: DateTime::UNIX_EPOCH + TimeDelta::days(365 * 50) + TimeDelta::seconds(after),
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    (when(), what()).prop_map(|(when, what)| Event { when, what })
}

fn when() -> impl Strategy<Value = When> {
    let seconds = |range: std::ops::Range<i64>| range.prop_map(|seconds| When::After(TimeDelta::seconds(seconds)));
    prop_oneof![
        3 => (1..25_u32).prop_map(When::BeforeStep),
        2 => seconds(0..60),
        2 => seconds(60..7200),
        2 => seconds(7200..400_000),
        2 => (1..40_i64).prop_map(|weeks| When::After(TimeDelta::days(7 * weeks + 2))),
        3 => (-120..1200_i64).prop_map(|seconds| When::AroundTick(TimeDelta::seconds(seconds))),
    ]
}

fn what() -> impl Strategy<Value = What> {
    let clock = prop_oneof![
        3 => -300..300_i64,
        2 => -90_000..90_000_i64,
        2 => -90 * 86_400..90 * 86_400_i64,
    ];
    let api = prop_oneof![Just(Api::Good), Just(Api::Away), Just(Api::Refused), Just(Api::Spent)];
    let pause = option::weighted(0.7, (60..30 * 86_400_i64).prop_map(TimeDelta::seconds));
    prop_oneof![
        4 => (0..4_usize).prop_map(What::Kill),
        4 => (0..3_usize).prop_map(What::Start),
        1 => (0..4_usize).prop_map(What::Stop),
        2 => (0..4_usize).prop_map(What::Suspend),
        2 => (0..4_usize).prop_map(What::GoOn),
        2 => (0..3_usize, clock).prop_map(|(machine, seconds)| What::Clock(machine, TimeDelta::seconds(seconds))),
        2 => Just(What::LoseLock),
        2 => any::<bool>().prop_map(What::Database),
        3 => api.prop_map(What::Api),
        2 => prop_oneof![2 => Just(20_u64), 1 => 60..100_000_u64].prop_map(|pace| What::Pace(Duration::from_secs(pace))),
        2 => pause.prop_map(What::Pause),
        1 => Just(What::Unpause),
        2 => Just(What::Cancel),
        2 => any::<bool>().prop_map(What::Request),
        2 => any::<(bool, bool)>().prop_map(|(is_full, is_fresh)| What::Crawl { is_full, is_fresh }),
        6 => Just(What::Repair),
    ]
}
