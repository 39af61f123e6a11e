//! `health`: whether the daemon of this host is alive, for container checks.

use chrono::TimeDelta;

use super::{Context, Exit, print};
use crate::app::{self, Database};
use crate::clock;

/// A daemon stamps its row every 30 seconds; two stamps may be missed.
const SILENT_AFTER: TimeDelta = TimeDelta::seconds(90);

pub(super) async fn run(context: &Context) -> anyhow::Result<Exit> {
    let database = Database::open(&context.config, context.is_demo).await?;
    let looked = look(&database).await;
    database.close().await;
    looked
}

async fn look(database: &Database) -> anyhow::Result<Exit> {
    database.require_tables().await?;
    let host = app::host();
    let age = database.store.last_beat(&host).await?.map(|beat| clock::now() - beat);
    Ok(match age {
        Some(age) if age <= SILENT_AFTER => {
            print(&format!("ok: the daemon on {host} was alive {} s ago", age.num_seconds().max(0)));
            Exit::Done
        }
        Some(age) => {
            print(&format!("the daemon on {host} has been silent for {} s", age.num_seconds()));
            Exit::Failed
        }
        None => {
            print(&format!("no daemon runs on {host}"));
            Exit::Failed
        }
    })
}
