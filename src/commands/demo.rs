//! `--demo`: the stand-in of the API inside the process.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use secrecy::SecretString;
use tracing::info;

use super::{Context, Exit};
use crate::standin::{DEMO_PLACES, Recipe, Standin, Switches, World};
use crate::{clock, stations};

/// The key that the stand-in expects.
const KEY: &str = "demo";

/// The seed of the demo world.
const SEED: u64 = 1;

/// The week in which the demo world began, counted in weeks since 1970.
const FIRST_WEEK: i64 = 2_900;

const WEEK_S: i64 = 7 * 24 * 3600;

/// Does the work of a command; with `--demo` the stand-in serves as long as that takes.
pub(super) async fn alongside(
    context: &mut Context,
    work: impl AsyncFnOnce(&mut Context) -> anyhow::Result<Exit>,
) -> anyhow::Result<Exit> {
    if !context.is_demo {
        return work(context).await;
    }
    let (stations, _) = stations::load(context.config.crawl.stations.as_deref())?;
    // The world changes a little every week, as the real one does.
    let week = u32::try_from(clock::now().timestamp() / WEEK_S - FIRST_WEEK).unwrap_or(0);
    let world = World::generate(&Recipe { seed: SEED, week, places: DEMO_PLACES }, &stations);
    let standin = Standin::new(world);
    standin.set(Switches { api_key: Some(KEY.to_owned()), ..Switches::default() });
    let listening = standin.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await;
    let listening = listening.context("could not start the stand-in of the API")?;
    context.config.kakao.base_url = listening.url();
    context.config.kakao.api_key = Some(SecretString::from(KEY));
    info!("demo: a made-up world of {DEMO_PLACES} places instead of Kakao's");
    tokio::select! {
        exit = work(context) => exit,
        () = listening.serve() => anyhow::bail!("the stand-in of the API ended"),
    }
}
