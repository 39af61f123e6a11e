//! `daemon`: wait for the schedule, run what is due, stop when told.

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;
use tracing::info;

use super::{Context, Exit};
use crate::app::{self, Database, Equipment, Obstacle};
use crate::clock;
use crate::config::Config;
use crate::domain::schedule::Schedule;

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let config = &context.config;
    // What can be wrong without a database is said before one is asked for.
    let schedule = app::schedule(config)?;
    let equipment = Equipment::new(config)?;
    let observer = equipment.observer(config).await?;
    let answering = async {
        match &observer {
            Some(observer) => observer.serve().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        done = work(context, schedule, equipment) => done,
        () = answering => unreachable!("it answers as long as it is asked"),
    }
}

async fn work(context: &Context, schedule: Schedule, equipment: Equipment) -> anyhow::Result<Exit> {
    let config = &context.config;
    let database = match Database::await_ready(config, context.is_demo, &context.stop).await {
        Err(error) if matches!(error.downcast_ref(), Some(Obstacle::Stopped)) => return Ok(Exit::Done),
        opened => opened?,
    };
    let runner = equipment.runner(config, database.store.clone());
    let stations = runner.stations.len();
    let scheduler = app::scheduler(config, schedule, runner);
    announce(config, &scheduler.schedule, stations, database.store.target().database());
    let ran = scheduler.run(&context.stop).await;
    database.close().await;
    ran?;
    info!("stopped");
    Ok(Exit::Done)
}

fn announce(config: &Config, schedule: &Schedule, stations: usize, database: &str) {
    info!(
        "sanggwond {}: {stations} stations, {} keywords, {} m around each, into the database {database}",
        env!("CARGO_PKG_VERSION"),
        config.crawl.keywords.len(),
        config.crawl.radius_m
    );
    if !config.schedule.enabled {
        info!("the schedule is off: nothing starts by itself");
        return;
    }
    let ticks = upcoming(schedule, clock::now(), 3).iter().map(describe).collect::<Vec<_>>().join(", ");
    info!("next runs by \"{}\" ({}): {ticks}", schedule.expression(), schedule.zone());
}

/// The next ticks.
pub(super) fn upcoming(schedule: &Schedule, now: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
    std::iter::successors(schedule.next_after(now), |tick| schedule.next_after(*tick)).take(count).collect()
}

/// A tick in Seoul time and UTC.
pub(super) fn describe(tick: &DateTime<Utc>) -> String {
    format!("{} Seoul ({})", tick.with_timezone(&Seoul).format("%a %Y-%m-%d %H:%M:%S"), tick.format("%a %H:%M:%S UTC"))
}
