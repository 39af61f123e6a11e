//! The situation: the daemons, the run at work, the last full run and what comes next. `status` prints it, and the page of the
//! daemon shows it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Asia::Seoul;
use serde::Serialize;

use super::due::{self, in_words};
use super::text::{describe, visible};
use crate::app;
use crate::clock;
use crate::config::Config;
use crate::domain::drift::Canaries;
use crate::domain::pause::Pause;
use crate::domain::quota::day_of;
use crate::domain::run::{RunId, Status};
use crate::domain::schedule::Schedule;
use crate::domain::time_spent::TimeSpent;
use crate::domain::words::{count, counted};
use crate::notify;
use crate::scheduler::decide::Past;
use crate::scheduler::standing::{Standing, standing};
use crate::store::{ChangeCounts, DaemonRow, HistoryRow, Store, Undelivered, UnfinishedRun};

/// Number of runs among which the last full one is looked for.
const LOOK_BACK: i64 = 200;

/// The situation, under the names of the JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Situation {
    verdict: String,
    daemons: Vec<DaemonRow>,
    pub(super) unfinished_runs: Vec<UnfinishedRun>,
    last_full_run: Option<HistoryRow>,
    last_changes: Option<ChangeCounts>,
    last_time_spent: Option<TimeSpent>,
    last_canaries: Option<Canaries>,
    now: Option<String>,
    #[serde(serialize_with = "clock::serialize_option")]
    next_tick: Option<DateTime<Utc>>,
    schedule_enabled: bool,
    schedule_pause: Option<String>,
    requests_waiting: i64,
    notices_undelivered: i64,
    notice_error: Option<String>,
    requests_today: i64,
    daily_quota: u32,
    requests_this_month: i64,
    monthly_quota: u32,
}

/// Reads the situation, and how the last due full run stands.
pub(super) async fn look(config: &Config, store: &Store) -> anyhow::Result<(Situation, Standing)> {
    let now = clock::now();
    let schedule = config.schedule.parse()?;
    let standing = stands(config, store, &schedule).await?;
    let mut history = store.history(LOOK_BACK, false).await?;
    history.retain(|row| row.scope.is_none() && is_final(row));
    let last_full_run = history.into_iter().next();
    let (last_changes, last_time_spent, last_canaries) = match &last_full_run {
        Some(run) => {
            let id = run.crawl_run_id;
            let (changes, spent) = (store.changes_of(id).await?, store.time_spent(RunId(id)).await?);
            (Some(changes), Some(spent), store.canaries(RunId(id)).await?)
        }
        None => (None, None, None),
    };
    let used = store.usage(day_of(now)).await?;
    let mut undelivered = Undelivered::default();
    for (channel, _, events) in notify::channels(&config.notify) {
        let Undelivered { count, error } = store.undelivered(channel, events, now).await?;
        undelivered.count += count;
        undelivered.error = undelivered.error.or(error);
    }
    let situation = Situation {
        verdict: verdict(standing),
        daemons: store.daemons().await?,
        unfinished_runs: store.unfinished_runs().await?,
        last_full_run,
        last_changes,
        last_time_spent,
        last_canaries,
        now: in_words(due::now(config, &schedule, store).await?),
        next_tick: schedule.next_after(now).filter(|_| config.schedule.enabled),
        schedule_enabled: config.schedule.enabled,
        schedule_pause: due::pause(store).await?.map(|pause| pause.to_string()),
        requests_waiting: store.requests_waiting().await?,
        notices_undelivered: undelivered.count,
        notice_error: undelivered.error,
        requests_today: used.today,
        daily_quota: config.kakao.quotas().daily,
        requests_this_month: used.this_month,
        monthly_quota: config.kakao.quotas().monthly,
    };
    Ok((situation, standing))
}

/// An instant as people in Korea read it.
fn in_seoul(at: DateTime<Utc>) -> String {
    at.with_timezone(&Seoul).format("%a %Y-%m-%d %H:%M:%S Seoul").to_string()
}

/// Whether a row is that of a run that was executed and has ended.
fn is_final(row: &HistoryRow) -> bool {
    row.status.parse::<Status>().is_ok_and(|status| !status.is_unfinished() && status != Status::Skipped)
}

async fn stands(config: &Config, store: &Store, schedule: &Schedule) -> anyhow::Result<Standing> {
    let (runs, pauses) = (store.run_records().await?, store.schedule_pauses().await?);
    let past = Past { runs: &runs, pauses: &pauses };
    Ok(standing(clock::now(), schedule, past, app::windows(config)))
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

/// What people read: headings, each with a text. The first is the verdict.
pub(super) fn lines(of: &Situation, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let line = |head, text: String| (head, visible(&text).into_owned());
    let mut lines = vec![line("verdict", of.verdict.clone()), line("daemons", daemons(&of.daemons))];
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
    let warnings = of.last_canaries.iter().flat_map(Canaries::warnings);
    lines.extend(warnings.map(|text| line("API", text.to_owned())));
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
    if of.notices_undelivered > 0 {
        let error =
            of.notice_error.as_ref().map(|error| format!("; the last attempt failed: {error}")).unwrap_or_default();
        let notices = counted(of.notices_undelivered, "notice of the last day is", "notices of the last day are");
        lines.push(line("notices", format!("{notices} not delivered{error}")));
    }
    let left = |used: i64, quota: u32| format!("{} of {}", count(used), count(quota));
    let (today, month) = (left(of.requests_today, of.daily_quota), left(of.requests_this_month, of.monthly_quota));
    lines.push(line("quota", format!("{today} requests used today, {month} this month")));
    lines
}

fn daemons(rows: &[DaemonRow]) -> String {
    let alive: Vec<_> = rows.iter().filter(|row| row.is_alive).collect();
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
    let trigger = run.trigger.replace('_', " ");
    let head = format!("run {} ({trigger}) on {}: {cells}", run.crawl_run_id, run.host);
    if run.status != Status::Running.as_str() {
        let resume = run.resume_at.map(|at| format!("; it may be resumed from {}", in_seoul(at))).unwrap_or_default();
        let reason = run.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        return format!("{head}, interrupted{reason}{resume}");
    }
    let pause = run.pause_reason.clone().zip(run.paused_since);
    let waits = pause.map(|(reason, since)| Pause { since, until: run.paused_until, reason }.describe(now));
    // While it waits, nobody knows when it will end.
    let speed = if waits.is_none() { speed(run) } else { None };
    let parts = [Some(head), speed, waits];
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
