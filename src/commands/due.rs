//! Describes what a daemon would do now, for `next` and `check`.

use std::time::Duration;

use anyhow::Context as _;
use tracing::warn;

use super::Context;
use super::text::describe;
use crate::app::{self, Database};
use crate::clock;
use crate::config::Config;
use crate::domain::price::Price;
use crate::domain::run::Trigger;
use crate::domain::schedule::Schedule;
use crate::domain::schedule_pause::SchedulePause;
use crate::domain::words::count;
use crate::scheduler::forecast::{Forecast, forecast};
use crate::store::{self, Store};

/// Time limit for the database. `next` works without one, so it does not wait long.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the history says about the next runs.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    /// What a daemon would do before the next tick; `None` if that is nothing.
    pub(super) now: Option<String>,
    /// The pause of the schedule.
    pub(super) pause: Option<SchedulePause>,
    /// The requests of the last full run.
    pub(super) requests: Option<i64>,
}

/// Reads what the history says about the next runs; nothing if there is no database, or it cannot be read.
pub(super) async fn outlook(context: &Context, schedule: &Schedule) -> Outlook {
    if !has_database(&context.config) {
        return Outlook::default();
    }
    let read = tokio::time::timeout(PATIENCE, read(context, schedule)).await;
    read.context("no answer from the database").and_then(|read| read).unwrap_or_else(|error| {
        warn!("could not read the run history, so a run may be due immediately: {error:#}");
        Outlook::default()
    })
}

/// The estimated size of the next run, and its cost if requests cost anything.
pub(super) fn estimate(requests: i64, price: Price) -> String {
    let cost = if price.is_free() { String::new() } else { format!(", {}", price.cost(requests)) };
    format!("a full run sends about {} requests{cost}, as the last one did", count(requests))
}

/// What a daemon would do now.
pub(super) async fn now(config: &Config, schedule: &Schedule, store: &Store) -> Result<Forecast, store::Error> {
    let (history, pauses) = (store.run_records().await?, store.schedule_pauses().await?);
    Ok(forecast(clock::now(), schedule, history, &pauses, app::windows(config)))
}

/// The pause of the schedule; `None` if it is not paused.
pub(super) async fn pause(store: &Store) -> Result<Option<SchedulePause>, store::Error> {
    let now = clock::now();
    Ok(store.schedule_pauses().await?.into_iter().find(|pause| pause.holds(now)))
}

/// Describes a forecast; `None` if nothing would be done.
pub(super) fn in_words(forecast: Forecast) -> Option<String> {
    match forecast {
        Forecast::Nothing => None,
        Forecast::Running(run) => Some(format!("run {run} is running")),
        Forecast::Resume { run, at: None } => Some(format!("a daemon resumes run {run} at once")),
        Forecast::Resume { run, at: Some(at) } => Some(format!("a daemon resumes run {run} at {}", describe(&at))),
        Forecast::Start { tick, trigger } => {
            let how = match trigger {
                Trigger::CatchUp => "catches up",
                Trigger::Schedule | Trigger::Manual | Trigger::Request => "starts",
            };
            Some(format!("a daemon {how} the run of {} at once", describe(&tick)))
        }
    }
}

/// Whether a database is available: the configured one, or a running private server. A private server is not started for this.
fn has_database(config: &Config) -> bool {
    let is_running = || config.database.directory.join("postgres/data/postmaster.pid").exists();
    config.database.url.is_some() || (config.database.private && is_running())
}

async fn read(context: &Context, schedule: &Schedule) -> anyhow::Result<Outlook> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let read = async {
        database.require_tables().await?;
        let now = in_words(now(&context.config, schedule, &database.store).await?);
        let pause = pause(&database.store).await?;
        anyhow::Ok(Outlook { now, pause, requests: database.store.requests_of_last_full_run().await? })
    };
    let read = read.await;
    database.close().await;
    read
}
