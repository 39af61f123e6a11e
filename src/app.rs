//! Builds the parts of the program from its configuration.

mod database;

use std::path::Path;

use anyhow::Context;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use serde_json::json;
use tracing::{info, warn};

use crate::clock;
use crate::config::Config;
use crate::crawl::progress::Progress;
use crate::crawl::review::{Guard, Rules};
use crate::domain::schedule::Schedule;
use crate::domain::station::Station;
use crate::kakao::Client;
use crate::observe::{Observer, Vitals};
use crate::runner::{Meters, Runner, Settings};
use crate::scheduler::Scheduler;
use crate::scheduler::decide::Windows;
use crate::stations;
use crate::store::Store;

pub use database::Database;

/// Why the program cannot work as it is set up, or right now.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// No key.
    #[error(
        "no REST API key is set; get one at https://developers.kakao.com and set KAKAO_REST_API_KEY, or add --demo to \
         crawl a made-up world"
    )]
    NoKey,
    /// No database.
    #[error("no database is set and database.private is false; set DATABASE_URL")]
    NoDatabase,
    /// The schedule never comes.
    #[error("schedule.cron {0:?} never comes again; Monday at three is \"0 0 3 * * Mon\"")]
    NeverDue(String),
    /// Nothing to read.
    #[error("the database lacks tables of this version; `sanggwond migrate` makes them")]
    NoSchema,
    /// Another process holds the lock.
    #[error("another process is at work on this database; `sanggwond runs` shows on what")]
    Busy,
    /// The stop token fired while it waited for the database.
    #[error("stopped before the database was ready")]
    Stopped,
}

/// The key of the configuration.
///
/// # Errors
/// When there is none.
pub fn api_key(config: &Config) -> Result<&SecretString, Obstacle> {
    config.kakao.api_key.as_ref().ok_or(Obstacle::NoKey)
}

/// What runs are made of, besides the database.
#[derive(Debug)]
pub struct Equipment {
    client: Client,
    stations: Vec<Station>,
    meters: Meters,
    vitals: Vitals,
}

impl Equipment {
    /// Builds it.
    ///
    /// # Errors
    /// When there is no key, no station, or no HTTP client.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let key = api_key(config)?;
        let (stations, rejected) = stations::load(config.crawl.stations.as_deref())?;
        for row in &rejected {
            warn!(stations.line = row.line, "a station is left out: {row}");
        }
        let client = Client::new(&config.kakao, key)?;
        Ok(Self { client, stations, meters: Meters::default(), vitals: Vitals::default() })
    }

    /// Puts it to work on a database.
    #[must_use]
    pub fn runner(self, config: &Config, store: Store) -> Runner {
        let Self { client, stations, meters, vitals } = self;
        Runner {
            store,
            client,
            progress: Progress::default(),
            meters,
            vitals,
            settings: Settings {
                keywords: config.crawl.keywords.clone(),
                radius_m: config.crawl.radius_m,
                coverage: config.crawl.coverage,
                daily_quota: config.kakao.daily_quota.get(),
                grace: config.shutdown.grace,
                rules: Rules {
                    close_after: config.crawl.close_after.get(),
                    max_miss_share: config.crawl.max_miss_share,
                    confirm_closings: config.crawl.confirm_closings,
                    guard: Guard::Up,
                },
                host: host(),
                recorded: recorded(config, stations.len()),
            },
            stations,
        }
    }

    /// Takes the port for whoever watches from outside; `None` where nobody is to.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn observer(&self, config: &Config) -> anyhow::Result<Option<Observer>> {
        let Some(listen) = config.observe.listen else { return Ok(None) };
        let mut registry = Registry::with_prefix("sanggwond");
        registry.register("build", "What is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        self.client.gate().register(&mut registry);
        self.meters.register(&mut registry);
        let observer = Observer::bind(listen, registry, self.vitals.clone()).await;
        let observer = observer.with_context(|| format!("could not listen on {listen}, which observe.listen names"))?;
        info!("observed at http://{}: /metrics, /livez and /readyz", observer.address()?);
        Ok(Some(observer))
    }
}

/// The schedule of the configuration.
///
/// # Errors
/// When it never comes again.
pub fn schedule(config: &Config) -> anyhow::Result<Schedule> {
    let schedule = config.schedule.parse()?;
    if config.schedule.enabled && schedule.next_after(clock::now()).is_none() {
        return Err(Obstacle::NeverDue(schedule.expression().to_owned()).into());
    }
    Ok(schedule)
}

/// Builds the scheduler around a runner.
#[must_use]
pub fn scheduler(config: &Config, schedule: Schedule, runner: Runner) -> Scheduler {
    let windows = Windows {
        is_enabled: config.schedule.enabled,
        catch_up: config.schedule.catch_up_window,
        resume: config.schedule.resume_window,
    };
    let heartbeat = config.schedule.heartbeat;
    Scheduler { runner, schedule, windows, heartbeat, keep_runs: config.history.keep_runs }
}

/// The name of this machine.
#[must_use]
pub fn host() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "unknown".to_owned())
}

/// What a run's row keeps of the configuration: everything that shapes the run, and no secrets.
fn recorded(config: &Config, stations: usize) -> serde_json::Value {
    let duration = |duration| humantime::format_duration(duration).to_string();
    json!({
        "stations": config.crawl.stations.as_deref().map(Path::display).map(|path| path.to_string()),
        "stations_count": stations,
        "keywords": config.crawl.keywords.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "radius_m": config.crawl.radius_m,
        "page_delay": duration(config.crawl.page_delay),
        "close_after": config.crawl.close_after,
        "max_miss_share": config.crawl.max_miss_share,
        "confirm_closings": config.crawl.confirm_closings,
        "base_url": config.kakao.base_url,
        "max_in_flight": config.kakao.max_in_flight,
        "timeout": duration(config.kakao.timeout),
        "max_attempts": config.kakao.max_attempts,
        "backoff": duration(config.kakao.backoff),
        "requests_per_second": config.kakao.requests_per_second,
        "daily_quota": config.kakao.daily_quota,
        "give_up_after": duration(config.kakao.give_up_after),
    })
}
