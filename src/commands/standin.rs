//! `standin`: the stand-in of the API in a process of its own, for tests and benchmarks.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;

use super::{Exit, print};
use crate::standin::{DEMO_PLACES, Recipe, Standin, Switches, World};
use crate::stations;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Where to listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// How many places the world has
    #[arg(long, default_value_t = DEMO_PLACES)]
    places: usize,
    /// What the world is made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which week of the world it is
    #[arg(long, default_value_t = 0)]
    week: u32,
    /// How long every answer takes
    #[arg(long, value_parser = humantime::parse_duration, default_value = "0s")]
    latency: Duration,
    /// How many requests a second are allowed
    #[arg(long)]
    per_second: Option<u32>,
    /// How many requests may be in flight
    #[arg(long)]
    max_in_flight: Option<usize>,
    /// The share of requests that meet a fault, 0 to 1
    #[arg(long, default_value_t = 0.0)]
    fault_share: f64,
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
        ..Switches::default()
    });
    let listening = standin.bind(options.listen).await.context("could not listen")?;
    print(&listening.url());
    listening.serve().await;
    Ok(Exit::Done)
}
