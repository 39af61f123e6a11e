//! `status`: one screen about the daemons, the run at work, the last full run and what comes next.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Asia::Seoul;
use serde::Serialize;

use super::daemon::describe;
use super::due::{self, in_words};
use super::output::{print, print_json, reading};
use super::text::visible;
use super::{Context, Exit, Format};
use crate::app::{self, Database};
use crate::clock;
use crate::domain::pause::Pause;
use crate::domain::quota::day_of;
use crate::domain::run::{RunId, Status};
use crate::domain::schedule::Schedule;
use crate::domain::time_spent::TimeSpent;
use crate::domain::words::{count, counted};
use crate::scheduler::decide::Past;
use crate::scheduler::standing::{Standing, standing};
use crate::store::{ChangeCounts, DaemonRow, HistoryRow, SILENT_AFTER, Store, UnfinishedRun};

/// Number of runs among which the last full one is looked for.
const LOOK_BACK: i64 = 200;

/// What the exit codes of this command mean.
pub(super) const EXIT_CODES: &str = "Exit codes: 0 the last due full run succeeded; 3 it is partial, or late; 1 it failed, was \
    cancelled, was missed or never ran, or the database cannot be read; 4 it is not finished.";

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The situation, under the names of the JSON output.
#[derive(Debug, Serialize)]
struct Situation {
    verdict: String,
    daemons: Vec<DaemonRow>,
    unfinished_runs: Vec<UnfinishedRun>,
    last_full_run: Option<HistoryRow>,
    last_changes: Option<ChangeCounts>,
    last_time_spent: Option<TimeSpent>,
    now: Option<String>,
    #[serde(serialize_with = "clock::serialize_option")]
    next_tick: Option<DateTime<Utc>>,
    schedule_enabled: bool,
    schedule_pause: Option<String>,
    requests_waiting: i64,
    requests_today: i64,
    daily_quota: u32,
    requests_this_month: i64,
    monthly_quota: u32,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    reading(context, async |database| {
        let (situation, exit) = look(context, database).await?;
        match options.format {
            Format::Json => print_json(&situation)?,
            Format::Text => lines(&situation, clock::now()).iter().try_for_each(|line| print(line))?,
        }
        Ok(exit)
    })
    .await
}

async fn look(context: &Context, database: &Database) -> anyhow::Result<(Situation, Exit)> {
    let (config, store, now) = (&context.config, &database.store, clock::now());
    let schedule = config.schedule.parse()?;
    let standing = stands(context, store, &schedule).await?;
    let mut history = store.history(LOOK_BACK, false).await?;
    history.retain(|row| row.scope.is_none() && is_final(row));
    let last_full_run = history.into_iter().next();
    let (last_changes, last_time_spent) = match &last_full_run {
        Some(run) => {
            let id = run.crawl_run_id;
            (Some(store.changes_of(id).await?), Some(store.time_spent(RunId(id)).await?))
        }
        None => (None, None),
    };
    let used = store.usage(day_of(now)).await?;
    let situation = Situation {
        verdict: verdict(standing),
        daemons: store.daemons().await?,
        unfinished_runs: store.unfinished_runs().await?,
        last_full_run,
        last_changes,
        last_time_spent,
        now: in_words(due::now(config, &schedule, store).await?),
        next_tick: schedule.next_after(now).filter(|_| config.schedule.enabled),
        schedule_enabled: config.schedule.enabled,
        schedule_pause: due::pause(store).await?.map(|pause| pause.to_string()),
        requests_waiting: store.requests_waiting().await?,
        requests_today: used.today,
        daily_quota: config.kakao.quotas().daily,
        requests_this_month: used.this_month,
        monthly_quota: config.kakao.quotas().monthly,
    };
    Ok((situation, exit_of(standing)))
}

/// An instant as people in Korea read it.
fn in_seoul(at: DateTime<Utc>) -> String {
    at.with_timezone(&Seoul).format("%a %Y-%m-%d %H:%M:%S Seoul").to_string()
}

/// Whether a row is that of a run that was executed and has ended.
fn is_final(row: &HistoryRow) -> bool {
    row.status.parse::<Status>().is_ok_and(|status| !status.is_unfinished() && status != Status::Skipped)
}

async fn stands(context: &Context, store: &Store, schedule: &Schedule) -> anyhow::Result<Standing> {
    let (runs, pauses) = (store.run_records().await?, store.schedule_pauses().await?);
    let past = Past { runs: &runs, pauses: &pauses };
    Ok(standing(clock::now(), schedule, past, app::windows(&context.config)))
}

fn exit_of(standing: Standing) -> Exit {
    match standing {
        Standing::Succeeded(_) => Exit::Done,
        Standing::Partial(_) | Standing::Late(_) => Exit::Partial,
        Standing::Unfinished(_) => Exit::Interrupted,
        Standing::Failed(_) | Standing::Cancelled(_) | Standing::Missed(_) | Standing::Never => Exit::Failed,
    }
}

fn verdict(standing: Standing) -> String {
    let run = |RunId(run), words: &str| format!("the last due full run, run {run}, {words}");
    match standing {
        Standing::Succeeded(id) => run(id, "succeeded"),
        Standing::Partial(id) => run(id, "is partial"),
        Standing::Unfinished(id) => run(id, "is not finished"),
        Standing::Failed(id) => run(id, "failed"),
        Standing::Cancelled(id) => run(id, "was cancelled"),
        Standing::Late(tick) => format!("the full run of {} is late: no daemon has started it", describe(&tick)),
        Standing::Missed(tick) => format!("the full run of {} was missed", describe(&tick)),
        Standing::Never => "no full run has been started yet".to_owned(),
    }
}

/// The screen: a heading and its text on each line.
fn lines(of: &Situation, now: DateTime<Utc>) -> Vec<String> {
    let line = |head: &str, text: String| format!("{head:<10}  {}", visible(&text));
    let mut lines = vec![line("verdict", of.verdict.clone()), line("daemons", daemons(&of.daemons, now))];
    lines.extend(of.unfinished_runs.iter().map(|run| {
        line(if run.status == Status::Running.as_str() { "at work" } else { "unfinished" }, at_work(run, now))
    }));
    if let Some(run) = &of.last_full_run {
        lines.push(line("last run", last(run)));
    }
    if let Some(ChangeCounts { opened, changed, closed, reopened }) = of.last_changes {
        lines
            .push(line("changes", format!("{opened} opened, {closed} closed, {reopened} reopened, {changed} changed")));
    }
    let spent = of.last_time_spent.as_ref().and_then(TimeSpent::describe);
    lines.extend(spent.map(|spent| line("time", spent)));
    lines.extend(of.schedule_pause.iter().map(|pause| line("schedule", pause.clone())));
    lines.extend(of.now.iter().map(|now| line("now", now.clone())));
    let next = of.next_tick.map_or_else(|| "never: schedule.enabled is false".to_owned(), |tick| describe(&tick));
    lines.push(line("next run", next));
    if of.requests_waiting > 0 {
        lines
            .push(line("requests", format!("{} waiting", counted(of.requests_waiting, "run request", "run requests"))));
    }
    let left = |used: i64, quota: u32| format!("{} of {}", count(used), count(quota));
    let (today, month) = (left(of.requests_today, of.daily_quota), left(of.requests_this_month, of.monthly_quota));
    lines.push(line("quota", format!("{today} requests used today, {month} this month")));
    lines
}

fn daemons(rows: &[DaemonRow], now: DateTime<Utc>) -> String {
    let alive: Vec<_> = rows.iter().filter(|row| now - row.heartbeat_at <= SILENT_AFTER).collect();
    let named =
        alive.iter().map(|row| format!("{} (version {}, since {})", row.host, row.version, in_seoul(row.started_at)));
    match alive.len() {
        0 => "none is alive".to_owned(),
        alive => format!("{alive} alive: {}", named.collect::<Vec<_>>().join(", ")),
    }
}

/// A run at work, or one that waits to be resumed.
pub(super) fn at_work(run: &UnfinishedRun, now: DateTime<Utc>) -> String {
    let done = run.cells_total - run.cells_pending;
    let percent = i64::from(done) * 100 / i64::from(run.cells_total.max(1));
    let cells = format!("{} of {} cells ({percent} %)", count(done), count(run.cells_total));
    let head = format!("run {} ({}) on {}: {cells}", run.crawl_run_id, run.trigger, run.host);
    if run.status != Status::Running.as_str() {
        let resume = run.resume_at.map(|at| format!("; it may be resumed from {}", in_seoul(at))).unwrap_or_default();
        let reason = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        return format!("{head}, interrupted{reason}{resume}");
    }
    let pause = run.pause_reason.clone().zip(run.paused_since);
    let waits = pause.map(|(reason, since)| Pause { since, until: run.paused_until, reason }.describe(now));
    let parts = [Some(head), speed(run), waits];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The rate of a run and when it is expected to end. Only known for a run that was not resumed.
fn speed(run: &UnfinishedRun) -> Option<String> {
    let seconds = (run.heartbeat_at - run.started_at).as_seconds_f64();
    let done = f64::from(run.cells_total - run.cells_pending);
    if run.resumed_count > 0 || seconds < 1.0 || done < 1.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "requests are fewer than a float can count")]
    let rate = run.requests as f64 / seconds;
    let left = Duration::try_from_secs_f64(seconds * f64::from(run.cells_pending) / done).ok()?;
    let end = run.heartbeat_at + TimeDelta::from_std(left).ok()?;
    Some(format!("{rate:.0} requests/s, expected to end at {}", in_seoul(end)))
}

fn last(run: &HistoryRow) -> String {
    let took = humantime::format_duration(Duration::from_secs_f64(run.duration_s.max(0.0).round()));
    format!(
        "run {} {}, started {}, took {took}, {} requests: {}",
        run.crawl_run_id,
        run.status,
        in_seoul(run.started_at),
        count(run.requests),
        run.verdict
    )
}
