//! Writing outcomes in batches.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::Crawl;
use crate::clock;
use crate::domain::cell::Outcome;
use crate::store;

/// A batch is written when it has so many cells …
const MAX_CELLS: usize = 50;

/// … or has waited for so long.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// A write that takes longer hangs: statements have a limit of their own, but a half-open connection has none.
const PATIENCE: Duration = Duration::from_secs(90);

/// Writes what comes until nothing more can.
pub(super) async fn write_all<A>(crawl: &Crawl<'_, A>, mut inbox: mpsc::Receiver<Outcome>) -> Result<(), store::Error> {
    while let Some(first) = inbox.recv().await {
        let batch = collect(first, &mut inbox).await;
        let writing = crawl.store.write(crawl.fence, &crawl.ground.map, &batch, clock::now());
        let written = match tokio::time::timeout(PATIENCE, writing).await {
            Ok(written) => written?,
            Err(_) => return Err(store::Error::Silent(PATIENCE)),
        };
        crawl.progress.wrote(written);
        debug!(run.id = %crawl.fence.run, cells = batch.len(), places.new = written.places_new, "{} cells written", batch.len());
    }
    Ok(())
}

async fn collect(first: Outcome, inbox: &mut mpsc::Receiver<Outcome>) -> Vec<Outcome> {
    let mut batch = vec![first];
    let deadline = Instant::now() + MAX_WAIT;
    while batch.len() < MAX_CELLS {
        match tokio::time::timeout_at(deadline, inbox.recv()).await {
            Ok(Some(outcome)) => batch.push(outcome),
            Ok(None) | Err(_) => break,
        }
    }
    batch
}
