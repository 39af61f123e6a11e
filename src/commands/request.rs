//! `request`: asks a running daemon for a run, with the daemon's configuration and key.

use super::output::{print, reading};
use super::{Context, Exit};
use crate::app;
use crate::domain::run::RequestedScope;
use crate::domain::text;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Only around stations with this name (repeatable); the suffix 역 may be omitted
    #[arg(long, value_name = "NAME", value_parser = text::name)]
    station: Vec<String>,
    /// Only this keyword (repeatable)
    #[arg(long, value_name = "KEYWORD", value_parser = text::name)]
    keyword: Vec<String>,
    /// Only the failed cells of the last full run
    #[arg(long, conflicts_with_all = ["station", "keyword"])]
    failed: bool,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let Options { station, keyword, failed } = options;
    let scope = RequestedScope { stations: station.clone(), keywords: keyword.clone(), failed: *failed };
    reading(context, async |database| {
        let request = database.store.request_run(&scope, &app::operator()).await?;
        let daemons = database.store.daemons_alive().await?;
        print(&match daemons {
            0 => format!("request {} is stored, but no daemon is alive: start one; it expires after a day", request.0),
            _ => format!("request {} is stored; a daemon answers it within 10 s if no run is at work", request.0),
        })?;
        Ok(Exit::Done)
    })
    .await
}
