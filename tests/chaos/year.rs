//! A year of weekly ticks with a simulated clock: every tick is run once, or skipped with the correct reason.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use nix::sys::signal::Signal;
use sanggwond::standin::{Recipe, World};
use sanggwond::stations;

use crate::Plan;
use crate::chance::Chance;
use crate::findings::Findings;
use crate::support::Stage;
use crate::tables::check_runs;
use crate::weeks::Daemon;

/// What happens around a Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Week {
    OnTime,
    DaysLate,
    BackAndForth,
    /// The clock is three weeks ahead and is corrected before the tick.
    Ahead,
    Suspended,
    Terminated,
    Killed,
    KilledInTheRun,
    /// Three Mondays.
    Missed,
    /// Two Mondays: killed during the run of the first, restarted after the second.
    DeadTooLong,
}

const WEEKS: [Week; 10] = [
    Week::OnTime,
    Week::Missed,
    Week::DaysLate,
    Week::BackAndForth,
    Week::Ahead,
    Week::KilledInTheRun,
    Week::Suspended,
    Week::DeadTooLong,
    Week::Terminated,
    Week::Killed,
];

const RUN: &str = "succeeded";
const SKIPPED: &str = "skipped: missed, and only the latest missed tick is caught up";
const ABANDONED: &str = "failed: unfinished at the end of its resume window of 3days";

/// The ticks so far, and the expected status of each.
struct Calendar {
    next: DateTime<Utc>,
    rows: BTreeMap<String, &'static str>,
    /// The expected number of rows whose tick was removed.
    untied: i64,
}

impl Calendar {
    /// Returns the next tick and records its expected status.
    fn tick(&mut self, row: &'static str) -> DateTime<Utc> {
        let tick = self.next;
        self.rows.insert(tick.format("%Y-%m-%d %H:%M:%S").to_string(), row);
        self.next = tick + TimeDelta::weeks(1);
        tick
    }
}

/// Simulates the Mondays.
pub(crate) async fn run(plan: &Plan, findings: &mut Findings) {
    let mondays = plan.pick(12, 53);
    let (mut stations, _) = stations::load(None).unwrap();
    stations.truncate(1);
    let position = stations[0].position;
    let row = format!("{},수도권,{},{},1호선\n", stations[0].name, position.latitude(), position.longitude());
    let stage = Stage::new(World::generate(&Recipe { seed: 3, week: 0, places: 40 }, &stations), &row).await;
    let mut chance = Chance::new(plan.seed + 8);
    let mut calendar = Calendar { next: "2027-01-03T18:00:00Z".parse().unwrap(), rows: BTreeMap::new(), untied: 0 };
    // A new installation crawls immediately.
    let first = calendar.tick(RUN);
    let mut daemon = Daemon::start(&stage, first + TimeDelta::hours(5));
    daemon.runs().await;
    let mut weeks = Vec::new();
    while calendar.rows.len() < mondays {
        // Each kind once, then at random.
        let random = usize::try_from(chance.within(0..WEEKS.len() as u64)).unwrap();
        let week = WEEKS.get(weeks.len()).copied().unwrap_or(WEEKS[random]);
        daemon = live(week, daemon, &mut calendar, &mut chance).await;
        weeks.push(week);
    }
    daemon.stop().await;

    let rows = "select format('%s|%s', to_char(scheduled_for at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
        status || coalesce(': ' || reason, '')) from crawl_run where scheduled_for is not null order by scheduled_for";
    let stored = stage.texts(rows).await;
    let expected: Vec<String> = calendar.rows.iter().map(|(tick, row)| format!("{tick}|{row}")).collect();
    let wrong: Vec<_> = stored.iter().filter(|row| !expected.contains(row)).collect();
    findings
        .check(stored == expected, || format!("{} rows for {} ticks, wrong {wrong:#?}", stored.len(), expected.len()));
    let untied: i64 = stage
        .value("select count(*) from crawl_run where scheduled_for is null and reason ~ 'the clock was ahead'")
        .await;
    findings.check(untied == calendar.untied, || format!("{untied} rows of ticks that were not due"));
    check_runs(&stage, findings).await;
    let count = |words: &str| stored.iter().filter(|row| row.contains(words)).count();
    findings.note(format!(
        "{} Mondays: {} run, {} skipped, {} abandoned; {untied} rows recorded while the clock was ahead",
        stored.len(),
        count("|succeeded"),
        count("|skipped"),
        count("|failed")
    ));
}

async fn live<'a>(week: Week, mut daemon: Daemon<'a>, calendar: &mut Calendar, chance: &mut Chance) -> Daemon<'a> {
    let hours = TimeDelta::hours(chance.within(1..120).cast_signed());
    let moment = TimeDelta::seconds(5);
    match week {
        Week::OnTime => daemon.step(calendar.tick(RUN) - TimeDelta::seconds(1)),
        Week::DaysLate => daemon.step(calendar.tick(RUN) + hours),
        Week::Suspended => daemon.sleep_until(calendar.tick(RUN) + hours).await,
        Week::Terminated => daemon = daemon.restart(Signal::SIGTERM, calendar.tick(RUN) + hours).await,
        Week::Killed => daemon = daemon.restart(Signal::SIGKILL, calendar.tick(RUN) + hours).await,
        Week::KilledInTheRun => {
            let tick = calendar.tick(RUN);
            daemon = daemon.die_during_run(tick + moment, tick + TimeDelta::hours(2)).await;
        }
        Week::BackAndForth => {
            let tick = calendar.tick(RUN);
            daemon.step(tick + moment);
            daemon.runs().await;
            daemon.step(tick - hours / 6);
            daemon.idles().await;
            daemon.step(tick + hours);
            daemon.idles().await;
            return daemon;
        }
        Week::Ahead => {
            let tick = calendar.tick(RUN);
            daemon.step(tick + TimeDelta::weeks(2) + hours);
            daemon.runs().await;
            calendar.untied += 3;
            daemon.step(tick - TimeDelta::hours(1));
            daemon.idles().await;
            daemon.step(tick + moment);
        }
        Week::Missed => {
            calendar.tick(SKIPPED);
            calendar.tick(SKIPPED);
            daemon.step(calendar.tick(RUN) + hours);
        }
        Week::DeadTooLong => {
            let tick = calendar.tick(ABANDONED);
            daemon = daemon.die_during_run(tick + moment, calendar.tick(RUN) + hours).await;
        }
    }
    daemon.runs().await;
    daemon
}
