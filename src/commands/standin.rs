//! `standin`: serves the simulated API in a separate process, for tests and benchmarks.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

use super::Exit;
use super::output::print;
use crate::domain::duration;
use crate::standin::{DEMO_PLACES, Drift, Recipe, Standin, Switches, World};
use crate::stations;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The address to listen on; port 0 selects a free port
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Number of places
    #[arg(long, default_value_t = DEMO_PLACES)]
    places: usize,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Week of the world; about 2 % of the places change each week
    #[arg(long, default_value_t = 0)]
    week: u32,
    /// Latency of every response
    #[arg(long, value_parser = duration::parse, default_value = "0s")]
    latency: Duration,
    /// Maximum number of requests per second
    #[arg(long)]
    per_second: Option<u32>,
    /// Maximum number of requests in flight
    #[arg(long)]
    max_in_flight: Option<usize>,
    /// Share of requests that fail, from 0 to 1
    #[arg(long, default_value_t = 0.0)]
    fault_share: f64,
    /// How the API has changed
    #[arg(long, value_enum)]
    drift: Option<Drift>,
}

pub(super) async fn run(options: &Options) -> anyhow::Result<Exit> {
    let (stations, _) = stations::load(None)?;
    let recipe = Recipe { seed: options.seed, week: options.week, places: options.places };
    let standin = Standin::new(World::generate(&recipe, &stations));
    standin.set(Switches {
        latency: options.latency,
        per_second: options.per_second,
        max_in_flight: options.max_in_flight,
        fault_share: options.fault_share,
        drift: options.drift,
        ..Switches::default()
    });
    let listening = standin.bind(options.listen).await.context("could not listen")?;
    print(&listening.url())?;
    listening.serve().await;
    Ok(Exit::Done)
}
