//! `runs --follow`: shows the runs that are at work, live, from any machine that reaches the database.

use std::io::{self, Write};
use std::time::Duration;

use console::Term;

use crate::app::Database;
use crate::clock;
use crate::commands::output::{print, print_raw, width};
use crate::commands::situation::at_work;
use crate::commands::text::{cut, visible};
use crate::domain::run::{RunId, Status};
use crate::store::{Error, Store};
use crate::telemetry::chain;

/// Interval at which the database is read. The process of a run updates its row at least every 3 s.
const LOOK: Duration = Duration::from_secs(1);

/// What there is to show.
enum Sight {
    /// The run that is followed, as a line.
    AtWork(RunId, String),
    /// No run is at work, and none has been.
    Nothing,
    /// The run that was followed has ended, in words.
    Ended(Status, String),
}

/// Follows the unfinished run, or waits for the next one, until it has ended; returns its final status. It outlives restarts and
/// failovers of the database.
pub(super) async fn follow(database: &Database) -> anyhow::Result<Status> {
    let store = &database.store;
    let (mut followed, mut shown) = (None, String::new());
    loop {
        match store.unless_lost(look(store, followed)).await {
            Ok(Sight::AtWork(id, line)) => {
                followed = Some(id);
                show(line, &mut shown)?;
            }
            Ok(Sight::Nothing) => show("no run is at work; waiting for the next one".to_owned(), &mut shown)?,
            Ok(Sight::Ended(status, words)) => {
                if Term::stdout().is_term() {
                    print_raw("\n")?;
                }
                print(&words)?;
                return Ok(status);
            }
            Err(error) if error.may_pass() => show(format!("waiting for the database: {}", chain(&error)), &mut shown)?,
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn look(store: &Store, followed: Option<RunId>) -> Result<Sight, Error> {
    let unfinished = store.unfinished_runs().await?;
    let run = unfinished.iter().find(|run| followed.is_none_or(|RunId(id)| run.crawl_run_id == id));
    match (run, followed) {
        (Some(run), _) => Ok(Sight::AtWork(RunId(run.crawl_run_id), at_work(run, clock::now()))),
        (None, None) => Ok(Sight::Nothing),
        (None, Some(id)) => {
            let history = store.history(100, false).await?;
            let row = history.into_iter().find(|row| row.crawl_run_id == id.0);
            let words =
                row.as_ref().map_or_else(|| "deleted".to_owned(), |row| format!("{}: {}", row.status, row.verdict));
            let status = row.and_then(|row| row.status.parse().ok()).unwrap_or(Status::Failed);
            Ok(Sight::Ended(status, format!("run {id} {words}")))
        }
    }
}

/// Shows a line if it has changed: on a terminal in place of the last one.
fn show(line: String, shown: &mut String) -> io::Result<()> {
    if line == *shown {
        return Ok(());
    }
    let failed = |error: anyhow::Error| io::Error::other(error);
    match width().filter(|_| Term::stdout().is_term()) {
        Some(width) => {
            // Cleared to the end of the line, because the last text may have been longer.
            print_raw(&format!("\r{}\x1b[K", cut(&visible(&line), width.saturating_sub(1)))).map_err(failed)?;
            io::stdout().flush()?;
        }
        None => print(&line).map_err(failed)?,
    }
    *shown = line;
    Ok(())
}
