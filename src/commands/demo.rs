//! `--demo`: runs the simulated API inside the process.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use secrecy::SecretString;
use tracing::info;

use super::{Context, Exit};
use crate::app::{self, Obstacle};
use crate::clock;
use crate::shutdown::beside;
use crate::standin::{DEMO_PLACES, Recipe, Standin, Switches, World};

/// The key that the stand-in expects.
const KEY: &str = "demo";

/// The seed of the demo world.
const SEED: u64 = 1;

/// The first week of the demo world, in weeks since 1970-01-01.
const FIRST_WEEK: i64 = 2_900;

const WEEK_S: i64 = 7 * 24 * 3600;

/// Runs a command; with `--demo`, the simulated API runs alongside.
pub(super) async fn alongside(
    context: &mut Context,
    work: impl AsyncFnOnce(&mut Context) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    if !context.is_demo {
        return work(context).await;
    }
    let (stations, _) = app::read_stations(&context.config, &context.stop).await?;
    // The world changes slightly every week, like the real one.
    let week = u32::try_from(clock::now().timestamp() / WEEK_S - FIRST_WEEK).unwrap_or(0);
    let recipe = Recipe { seed: SEED, week, places: DEMO_PLACES };
    let world = beside(&context.stop, move || World::generate(&recipe, &stations)).await.ok_or(Obstacle::Stopped)?;
    let standin = Standin::new(world);
    standin.set(Switches { api_key: Some(KEY.to_owned()), ..Switches::default() });
    let listening = standin.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let listening = listening.context("could not start the simulated API")?;
    context.config.kakao.base_url = listening.url();
    context.config.kakao.api_key = Some(SecretString::from(KEY));
    info!("demo: {DEMO_PLACES} made-up places instead of Kakao's");
    tokio::select! {
        exit = work(context) => exit,
        () = listening.serve() => anyhow::bail!("the simulated API ended"),
    }
}
