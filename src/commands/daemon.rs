//! `daemon`: waits for the schedule and starts the runs that are due, until a signal stops it.

use std::convert::Infallible;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::pages::DaemonPages;
use super::text::describe;
use super::{Context, Exit};
use crate::app::{self, Database, Equipment};
use crate::clock;
use crate::config::Config;
use crate::crawl::progress::Snapshot;
use crate::domain::schedule::Schedule;
use crate::notify::Notifier;
use crate::scheduler::Scheduler;
use crate::systemd;

/// Interval at which the status text of the service manager is updated.
const STATUS: Duration = Duration::from_secs(5);

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let config = &context.config;
    // Report errors in the configuration before waiting for the database.
    let schedule = app::schedule(config)?;
    let equipment = Equipment::new(config, &context.stop).await?;
    let pages = DaemonPages::new(config, context.is_demo);
    let observer = equipment.observer(config, &context.dropped, &pages).await?;
    let notifier = Notifier::new(&config.notify)?;
    let answering = async {
        match &observer {
            Some(observer) => observer.serve().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        exit = work(context, schedule, equipment, (&notifier, &pages)) => exit,
        never = systemd::draining(&context.stop, config.shutdown.grace) => match never {},
        never = answering => match never {},
    }
}

async fn work(
    context: &Context,
    schedule: Schedule,
    equipment: Equipment,
    (notifier, pages): (&Notifier, &DaemonPages<'_>),
) -> anyhow::Result<Exit> {
    let config = &context.config;
    let opening = Database::await_ready(config, context.is_demo, &context.stop);
    let database = systemd::starting("waiting for the database and its tables", opening).await?;
    pages.open(&database.store);
    let runner = equipment.runner(config, database.store.clone());
    let stations = runner.inventory.stations.len();
    let mut scheduler = app::scheduler(config, schedule, runner);
    scheduler.outage.clone_from(&database.outage);
    announce(config, &scheduler.schedule, stations, database.store.target().database());
    notifier.announce();
    systemd::ready(&state(&scheduler));
    let served = tokio::select! {
        served = Box::pin(scheduler.run(&context.stop)) => served,
        never = show_state(&scheduler, &context.stop) => match never {},
        never = notifier.run(&database.store) => match never {},
    };
    database.close().await;
    served?;
    info!("stopped");
    Ok(Exit::Done)
}

/// Keeps the status text of the service manager up to date. Never completes.
async fn show_state(scheduler: &Scheduler, stop: &CancellationToken) -> Infallible {
    loop {
        tokio::time::sleep(STATUS).await;
        let stopping = if stop.is_cancelled() { "stopping; " } else { "" };
        systemd::status(&format!("{stopping}{}", state(scheduler)));
    }
}

/// The status text: what the daemon does, and the next tick.
fn state(scheduler: &Scheduler) -> String {
    let Snapshot { cells_total, cells_done, cells_failed, .. } = scheduler.runner.progress.snapshot();
    let now = match cells_total {
        0 => scheduler.waiting.get().unwrap_or_else(|| "idle".to_owned()),
        _ => format!("crawling: {cells_done} of {cells_total} cells done, {cells_failed} failed"),
    };
    let pause = scheduler.runner.client.gate().pause().filter(|_| cells_total > 0);
    let pause = pause.map(|pause| format!("; {}", pause.describe(clock::now()))).unwrap_or_default();
    let next = scheduler.schedule.next_after(clock::now()).filter(|_| scheduler.windows.is_enabled);
    match next {
        Some(tick) => format!("{now}{pause}; next run {}", describe(&tick)),
        None => format!("{now}{pause}; the schedule is disabled"),
    }
}

fn announce(config: &Config, schedule: &Schedule, stations: usize, database: &str) {
    info!(
        "sanggwond {}: {stations} stations, {} keywords, radius {} m, database {database}",
        env!("CARGO_PKG_VERSION"),
        config.crawl.keywords.len(),
        config.crawl.radius_m
    );
    if !config.schedule.enabled {
        info!("the schedule is disabled (schedule.enabled = false): no run starts automatically");
        return;
    }
    let ticks = upcoming(schedule, clock::now(), 3).iter().map(describe).collect::<Vec<_>>().join(", ");
    info!("next runs by \"{}\" ({}): {ticks}", schedule.expression(), schedule.zone());
}

/// The next ticks.
pub(super) fn upcoming(schedule: &Schedule, now: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    std::iter::successors(schedule.next_after(now), |tick| schedule.next_after(*tick)).take(count).collect()
}
