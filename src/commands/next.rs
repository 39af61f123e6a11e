//! `next`: when runs are due.

use serde_json::json;

use super::daemon::{describe, upcoming};
use super::{Context, Exit, Format, print};
use crate::app::Obstacle;
use crate::clock;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// How many
    #[arg(long, default_value_t = 5)]
    count: usize,
    /// How they are printed
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let schedule = context.config.schedule.parse()?;
    let ticks = upcoming(&schedule, clock::now(), options.count);
    if ticks.is_empty() && options.count > 0 {
        return Err(Obstacle::NeverDue(schedule.expression().to_owned()).into());
    }
    match options.format {
        Format::Text => ticks.iter().for_each(|tick| print(&describe(tick))),
        Format::Json => print(&json!(ticks).to_string()),
    }
    if !context.config.schedule.enabled {
        tracing::warn!("schedule.enabled is false: none of these will start by itself");
    }
    Ok(Exit::Done)
}
