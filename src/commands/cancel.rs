//! `cancel`: ends an unfinished run for good, wherever a process works on it.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::Instant;

use super::output::{print, reading};
use super::{Context, Exit};
use crate::app::{self, Database};
use crate::clock;
use crate::domain::run::{RunId, Status};
use crate::domain::text;
use crate::store::Cancelled;

/// Time limit for the process of a run to end it. It looks every 3 s, and takes at most 5 s for its last writes.
const PATIENCE: Duration = Duration::from_secs(15);

/// Interval at which the status of the run is read.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The run; default: the unfinished full run, or without one the newest unfinished run
    #[arg(value_name = "RUN")]
    run: Option<i64>,
    /// Why, as a sentence for the history
    #[arg(long, value_name = "TEXT", value_parser = text::name)]
    reason: Option<String>,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    reading(context, async |database| cancel(database, options).await).await
}

async fn cancel(database: &Database, options: &Options) -> anyhow::Result<Exit> {
    let store = &database.store;
    let run = if let Some(run) = options.run {
        RunId(run)
    } else {
        let unfinished = store.unfinished_runs().await?;
        RunId(unfinished.first().context("there is no unfinished run to cancel")?.crawl_run_id)
    };
    let why = options.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    match store.cancel_run(run, &format!("cancelled by {}{why}", app::operator()), clock::now()).await? {
        Cancelled::Ended | Cancelled::Finished(Status::Cancelled) => {}
        Cancelled::Requested => wait(database, run).await?,
        Cancelled::Finished(status) => bail!("run {run} has already ended as {status}; nothing was changed"),
        Cancelled::Unknown => bail!("there is no run {run}; `sanggwond runs` shows those that are kept"),
    }
    print(&format!(
        "run {run} is cancelled; what it has found is stored, and the tick that it was started for is not caught up"
    ))?;
    Ok(Exit::Done)
}

/// Waits until the process of the run has ended it. If the process is dead, the run is ended here.
async fn wait(database: &Database, run: RunId) -> anyhow::Result<()> {
    let store = &database.store;
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        match store.status_of(run).await?.context("the run has been deleted")? {
            Status::Cancelled => return Ok(()),
            Status::Running | Status::Interrupted => {}
            status @ (Status::Succeeded | Status::Partial | Status::Failed | Status::Skipped) => {
                bail!("run {run} ended as {status} before it could be cancelled")
            }
        }
        // Only a run without a process leaves the lock free.
        if let Some(lock) = store.try_lock().await? {
            let ended = async {
                store.interrupt_crashed_runs(clock::now()).await?;
                store.end_cancelled_runs(clock::now()).await
            };
            let ended = ended.await;
            lock.release().await;
            ended?;
            continue;
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!(
        "run {run} has not ended yet; the process that works on it ends it as soon as it reaches the database (`sanggwond \
         runs {run}` shows it)"
    )
}
