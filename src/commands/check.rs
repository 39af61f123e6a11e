//! `check`: whether everything is there that a run needs.

mod coverage;

use tokio_util::sync::CancellationToken;

use super::{Context, Exit, print};
use crate::app::{self, Database};
use crate::config::Config;
use crate::crawl::allowance::Reserve;
use crate::domain::geo::{Area, Circle};
use crate::kakao::{Client, Search};
use crate::stations;
use crate::store::SchemaState;

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Compare searches by circle, by rectangle and by its quarters around one station (some ten requests)
    #[arg(long)]
    coverage: bool,
    /// Around this station; the suffix 역 may be left out
    #[arg(long, value_name = "NAME", requires = "coverage")]
    station: Option<String>,
}

/// Prints a line per check and goes on after a failure, so that one look shows everything.
pub(super) async fn run(context: &Context, options: &Options) -> anyhow::Result<Exit> {
    let config = &context.config;
    let schedule = config.schedule.parse()?;
    print(&format!("ok      configuration: \"{}\" ({})", schedule.expression(), schedule.zone()));
    let stations = tell("stations", stations_line(config));
    let database = tell(
        "database",
        Database::open(config, context.is_demo).await.map(|database| {
            let target = database.store.target();
            (format!("{} at {}", target.database(), target.address()), database)
        }),
    );
    let is_good = match database {
        None => false,
        Some(database) => {
            let has_tables = tell("tables", tables_line(&database).await).is_some();
            // The request is counted, so the tables must be there.
            let has_key = has_tables && tell("key", key_line(config, &database, &context.stop).await).is_some();
            let is_kept = !options.coverage
                || (has_key && {
                    let compared =
                        coverage::compare(config, &database, options.station.as_deref(), &context.stop).await;
                    tell("coverage", compared).is_some()
                });
            database.close().await;
            has_tables && has_key && is_kept
        }
    };
    Ok(if is_good && stations.is_some() { Exit::Done } else { Exit::Failed })
}

fn tell<T>(what: &str, checked: anyhow::Result<(String, T)>) -> Option<T> {
    match checked {
        Ok((line, value)) => {
            print(&format!("ok      {what}: {line}"));
            Some(value)
        }
        Err(error) => {
            print(&format!("FAILED  {what}: {error:#}"));
            None
        }
    }
}

fn stations_line(config: &Config) -> anyhow::Result<(String, ())> {
    let (stations, rejected) = stations::load(config.crawl.stations.as_deref())?;
    let rows: Vec<String> = rejected.iter().map(|row| format!("\n        left out: {row}")).collect();
    let keywords = config.crawl.keywords.len();
    Ok((format!("{}, {keywords} keywords, {} cells{}", stations.len(), stations.len() * keywords, rows.concat()), ()))
}

async fn tables_line(database: &Database) -> anyhow::Result<(String, ())> {
    match database.store.schema_state().await? {
        SchemaState::Current => Ok(("up to date".to_owned(), ())),
        SchemaState::Behind(missing) => {
            anyhow::bail!("{missing} migrations are missing; `sanggwond migrate` applies them")
        }
    }
}

async fn key_line(config: &Config, database: &Database, stop: &CancellationToken) -> anyhow::Result<(String, ())> {
    let client = Client::new(&config.kakao, app::api_key(config)?)?;
    let (stations, _) = stations::load(config.crawl.stations.as_deref())?;
    let (Some(station), Some(keyword)) = (stations.first(), config.crawl.keywords.first()) else {
        anyhow::bail!("there is nothing to ask for");
    };
    let circle = Circle { center: station.position, radius_m: config.crawl.radius_m };
    let search = Search::new(keyword, Area::Circle(circle));
    let allowance = Reserve::new(&database.store, config.kakao.daily_quota.get());
    let page = client.once(&search, &allowance, stop).await;
    allowance.close().await;
    let total = page?.meta.total_count;
    Ok((format!("accepted; {keyword} near {}: {total}", station.name), ()))
}
