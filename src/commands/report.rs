//! `report`: writes a self-contained HTML page about the last runs, the changes and the stations.

use std::io::Write as _;
use std::path::PathBuf;

use chrono::TimeDelta;
use chrono_tz::Asia::Seoul;

use super::output::{Draft, LanguageOption, print_raw, reading};
use super::{Context, Exit};
use crate::app::Database;
use crate::clock;
use crate::config::Config;
use crate::domain::language::Language;
use crate::domain::quota::day_of;
use crate::report::{self, Origin};
use crate::store::{Extent, Store};

/// Limits of the page.
const RUNS: i64 = 26;
const WEEKS_OF_CHANGES: i64 = 4;
const AREA_RUNS: i64 = 4;
const AREAS: i64 = 12;
const FAILED_CELLS: i64 = 50;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The output file, which appears only when it is complete; default: stdout
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    language: LanguageOption,
}

pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    reading(context, async |database| write(context, options, database).await).await
}

/// The page, from one snapshot of the database.
pub(super) async fn render(
    config: &Config,
    is_demo: bool,
    language: Language,
    store: &Store,
) -> anyhow::Result<String> {
    let now = clock::now();
    let made = now.with_timezone(&Seoul).naive_local();
    let price = config.kakao.price_won;
    let origin = Origin { database: store.target().database().to_owned(), is_demo, made, price, language };
    let extent = Extent {
        today: day_of(now),
        runs: RUNS,
        changes_since: now - TimeDelta::weeks(WEEKS_OF_CHANGES),
        area_runs: AREA_RUNS,
        areas: AREAS,
        failed_cells: FAILED_CELLS,
    };
    Ok(report::page(&origin, &store.overview(extent).await?))
}

async fn write(context: &Context, options: &Options, database: &Database) -> anyhow::Result<Exit> {
    let language = options.language.of(&context.config);
    let page = render(&context.config, context.is_demo, language, &database.store).await?;
    match &options.output {
        None => print_raw(&page)?,
        Some(path) => {
            let (draft, mut file) = Draft::create(path)?;
            file.write_all(page.as_bytes())?;
            draft.keep()?;
        }
    }
    Ok(Exit::Done)
}
