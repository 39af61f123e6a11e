//! `purge`: delete places for good, as Kakao's terms may demand.

use std::time::Duration;

use clap::ArgGroup;

use super::{Context, Exit, print, since};
use crate::app::{Database, Obstacle};
use crate::clock;
use crate::store::{Depth, RunLock, Store};

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("places").required(true).args(["not_seen_for", "all"]))]
pub(super) struct Options {
    /// The places that no run has seen for so long, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    not_seen_for: Option<Duration>,
    /// All places; no ground counts as complete any more, and unfinished runs are given up
    #[arg(long)]
    all: bool,
    /// Only say how many it would be
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let purged = purge(&database, options).await;
    database.close().await;
    let places = purged?;
    let done = if options.dry_run { "would be deleted" } else { "deleted" };
    let noun = if places == 1 { "place" } else { "places" };
    print(&format!("{places} {noun} {done}"));
    Ok(Exit::Done)
}

async fn purge(database: &Database, options: &Options) -> anyhow::Result<i64> {
    database.require_tables().await?;
    let Some(mut lock) = database.store.try_lock().await? else { return Err(Obstacle::Busy.into()) };
    let purged = under_lock(&database.store, options, &mut lock).await;
    lock.release().await;
    purged
}

async fn under_lock(store: &Store, options: &Options, lock: &mut RunLock) -> anyhow::Result<i64> {
    let depth = if options.dry_run { Depth::Count } else { Depth::Delete };
    let now = clock::now();
    if let Some(duration) = options.not_seen_for {
        return Ok(lock.purge_unseen(since::before(now, duration), depth).await?);
    }
    if depth == Depth::Delete {
        // What such a run has stored is deleted, and it would not ask for that again.
        store.bury_dead_runs(now).await?;
        for run in store.run_records().await?.iter().filter(|run| run.status.is_unfinished()) {
            store.give_up_run(run.id, "given up by hand: purge --all", now).await?;
        }
    }
    Ok(lock.purge_all(depth).await?)
}
