//! `purge`: deletes places permanently, as Kakao's terms may require.
//!
//! Before the deletion starts, a signal ends the command. The deletion is one transaction: after a signal it is
//! finished, or rolled back if it takes longer than `shutdown.grace` plus 30 s.

use std::time::Duration;

use clap::ArgGroup;

use super::consent::{self, Needed};
use super::output::print;
use super::{Context, Exit, since};
use crate::app::{Database, Obstacle};
use crate::clock;
use crate::domain::duration;
use crate::domain::words::{count, counted};
use crate::store::{Purge, PurgeCount, RunLock, Store};

/// Deleting more than one in this many places requires `--all`.
const ONE_IN: i64 = 10;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("places").required(true).multiple(true).args(["not_seen_for", "all"]))]
pub(super) struct Options {
    /// The places that no run has found for this long, such as 90d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_above_zero)]
    not_seen_for: Option<Duration>,
    /// All places; also abandons unfinished runs. With --not-seen-for: only those places, even if they are more than 10 %
    #[arg(long)]
    all: bool,
    /// Delete without asking
    #[arg(long)]
    yes: bool,
    /// Only print how many places would be deleted
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// What to do after the question.
enum Agreed {
    /// Delete this many places.
    Delete(Purge, i64),
    /// Only print this.
    Say(String),
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let database = tokio::select! {
        database = Database::open(&context.config, context.is_demo) => database?,
        () = context.stop.cancelled() => return Ok(Exit::Interrupted),
    };
    let purged = purge(context, options, &database).await;
    database.close().await;
    print(&purged?)?;
    Ok(Exit::Done)
}

/// Counts, asks and deletes; returns what to print. The lock is not held while a person thinks.
async fn purge(context: &Context, options: &Options, database: &Database) -> anyhow::Result<String> {
    let agreed = tokio::select! {
        agreed = agree(context, options, database) => agreed?,
        () = context.stop.cancelled() => return Err(Obstacle::Stopped.into()),
    };
    let (purge, going) = match agreed {
        Agreed::Say(words) => return Ok(words),
        Agreed::Delete(purge, going) => (purge, going),
    };
    let mut lock = database.lock().await?;
    let deleted = delete(&database.store, purge, going, &mut lock).await;
    lock.release().await;
    Ok(format!("{} deleted", counted_places(deleted?)))
}

/// Counts and asks.
async fn agree(context: &Context, options: &Options, database: &Database) -> anyhow::Result<Agreed> {
    database.require_tables().await?;
    let purge = match options.not_seen_for {
        Some(duration) => {
            // Use the earlier of the two clocks: if one is ahead, all places would look old.
            let now = clock::now().min(database.store.clock().await?);
            Purge::Unseen { since: since::before(now, duration), now }
        }
        None => Purge::All,
    };
    let mut lock = database.lock().await?;
    let counted = lock.count_purge(purge).await;
    lock.release().await;
    let PurgeCount { going, total } = counted?;
    let of_all = format!("{} of {}", count(going), counted_places(total));
    if options.dry_run {
        return Ok(Agreed::Say(format!("{of_all} would be deleted")));
    }
    if !options.all && going.saturating_mul(ONE_IN) > total {
        let words = format!(
            "{of_all} would be deleted, which is more than 10 %; nothing was deleted. Add --all to delete them"
        );
        return Err(Needed(words).into());
    }
    if going > 0 && !options.yes {
        let otherwise =
            format!("{of_all} would be deleted; nothing was deleted. Add --yes to delete them without a question");
        consent::ask(context, &format!("Permanently delete {of_all} with their history?"), otherwise).await?;
    }
    Ok(Agreed::Delete(purge, going))
}

async fn delete(store: &Store, purge: Purge, agreed: i64, lock: &mut RunLock) -> anyhow::Result<i64> {
    let now = clock::now();
    if purge == Purge::All {
        // An unfinished run would not search again for the places that it has already stored and that are now deleted.
        store.interrupt_crashed_runs(now).await?;
        for run in store.run_records().await?.iter().filter(|run| run.status.is_unfinished()) {
            store.abandon_run(run.id, "abandoned by hand: purge --all", now).await?;
        }
    }
    let PurgeCount { going, .. } = lock.purge(purge, agreed, now).await?;
    anyhow::ensure!(
        going <= agreed,
        "{} would be deleted now, but {} were confirmed; nothing was deleted",
        counted_places(going),
        count(agreed)
    );
    Ok(going)
}

fn counted_places(number: i64) -> String {
    counted(number, "place", "places")
}
