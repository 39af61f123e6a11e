//! `next`: shows when the next runs are due.

use chrono::TimeDelta;

use super::daemon::upcoming;
use super::due::{self, Outlook, estimate};
use super::output::{print, print_json};
use super::text::describe;
use super::{Context, Exit, Format};
use crate::app::Obstacle;
use crate::clock;
use crate::domain::price::Price;
use crate::domain::schedule::Schedule;
use crate::domain::words::counted;

/// Maximum number of runs in the estimate of a month.
const MAX_RUNS: usize = 1000;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Number of ticks
    #[arg(long, default_value_t = 5)]
    count: usize,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let schedule = context.config.schedule.parse()?;
    let ticks = upcoming(&schedule, clock::now(), options.count);
    if ticks.is_empty() && options.count > 0 {
        return Err(Obstacle::NeverDue(schedule.expression().to_owned()).into());
    }
    let Outlook { now, pause, requests } = due::outlook(context, &schedule).await;
    let paused = pause.as_ref().map(|pause| format!("the schedule is {pause}"));
    for now in now.into_iter().chain(paused) {
        match options.format {
            Format::Text => print(&format!("now: {now}"))?,
            // The JSON result remains a list of instants.
            Format::Json => tracing::warn!("now: {now}"),
        }
    }
    match options.format {
        Format::Text => {
            let is_skipped = |tick| pause.as_ref().is_some_and(|pause| pause.holds(tick));
            let skipped = |tick| if is_skipped(tick) { " (skipped: the schedule is paused)" } else { "" };
            ticks.iter().try_for_each(|tick| print(&format!("{}{}", describe(tick), skipped(*tick))))?;
            let price = context.config.kakao.price_won;
            if let Some(requests) = requests.filter(|_| !price.is_free()) {
                print(&costs(price, &schedule, requests))?;
            }
        }
        Format::Json => print_json(&ticks.into_iter().map(clock::rfc3339).collect::<Vec<_>>())?,
    }
    if !context.config.schedule.enabled {
        tracing::warn!("schedule.enabled is false: none of these runs will start automatically");
    }
    Ok(Exit::Done)
}

/// The estimated cost of a run and of the next 30 days.
fn costs(price: Price, schedule: &Schedule, requests: i64) -> String {
    let now = clock::now();
    let ticks = upcoming(schedule, now, MAX_RUNS);
    let runs = ticks.into_iter().filter(|tick| *tick <= now + TimeDelta::days(30)).count();
    let at_least = if runs == MAX_RUNS { "at least " } else { "" };
    let runs = i64::try_from(runs).unwrap_or(i64::MAX);
    let cost = price.cost(runs.saturating_mul(requests));
    format!("{}; {at_least}{} in 30 days: {cost}", estimate(requests, price), counted(runs, "run", "runs"))
}
