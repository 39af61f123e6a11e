//! `pause` and `unpause`: stop runs from starting by themselves, for a time or until further notice.

use super::output::{print, reading};
use super::since::When;
use super::text::describe;
use super::{Context, Exit, Misuse};
use crate::app;
use crate::clock;
use crate::domain::schedule_pause::SchedulePause;
use crate::domain::text;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// When the pause ends by itself: a day in Seoul such as 2026-12-07, an instant, or a duration such as 3d
    #[arg(long, value_name = "WHEN")]
    until: Option<When>,
    /// Why, as a sentence for the history
    #[arg(long, value_name = "TEXT", value_parser = text::name)]
    reason: Option<String>,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let now = clock::now();
    let until = options.until.map(|until| until.ahead(now));
    if until.is_some_and(|until| until <= now) {
        return Err(
            Misuse("--until is in the past; write a day or an instant to come, or a duration such as 3d").into()
        );
    }
    let pause = SchedulePause { since: now, until, reason: options.reason.clone(), by: app::operator() };
    reading(context, async |database| {
        database.store.pause_schedule(&pause).await?;
        print(&format!("the schedule is {pause}"))?;
        let ends = match &pause.until {
            Some(until) => format!("until {}", describe(until)),
            None => "until `sanggwond unpause`".to_owned(),
        };
        print(&format!("no run starts by itself {ends}; ticks are skipped; a run at work goes on"))?;
        Ok(Exit::Done)
    })
    .await
}

pub(super) async fn end(context: &Context) -> anyhow::Result<Exit> {
    reading(context, async |database| {
        let was_paused = database.store.unpause_schedule(&app::operator(), clock::now()).await?;
        print(if was_paused {
            "the schedule is no longer paused; ticks that were in the pause are not caught up"
        } else {
            "the schedule was not paused"
        })?;
        Ok(Exit::Done)
    })
    .await
}
