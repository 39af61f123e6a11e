//! Builds the parts of the program from its configuration.

mod database;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock;
use crate::config::Config;
use crate::crawl::canary::Heed;
use crate::crawl::progress::Progress;
use crate::crawl::review::rules::{Guard, Rules};
use crate::domain::inventory::Inventory;
use crate::domain::schedule::Schedule;
use crate::domain::station::Station;
use crate::kakao::Client;
use crate::observe::{Observer, Pages, Vitals};
use crate::runner::{Meters, Retiring, Runner, Settings};
use crate::scheduler::Scheduler;
use crate::scheduler::decide::Windows;
use crate::scheduler::lock_wait::{LockWait, PATIENCE};
use crate::scheduler::waiting::Waiting;
use crate::shutdown::beside;
use crate::stations::{self, LeftOut};
use crate::store::{LockHolder, Store};
use crate::telemetry::Dropped;

pub use database::Database;

/// Why a command cannot be executed: a problem of the configuration or of the environment.
#[derive(Debug, thiserror::Error)]
pub enum Obstacle {
    /// No API key is set.
    #[error(
        "no REST API key is set; get one at https://developers.kakao.com and set KAKAO_REST_API_KEY, or add --demo to \
         crawl made-up data"
    )]
    NoKey,
    /// No database is set.
    #[error("no database is set and database.private is false; set DATABASE_URL")]
    NoDatabase,
    /// The schedule is never due again.
    #[error("schedule.cron {0:?} is never due again; for Monday 03:00 write \"0 0 3 * * Mon\"")]
    NeverDue(String),
    /// The tables are missing or older than this version.
    #[error("the tables are missing or older than this version; run `sanggwond migrate`")]
    NoSchema,
    /// Another process holds the run lock.
    #[error(
        "another process holds the run lock of this database{}; `sanggwond runs` shows the run that is in progress",
        .0.as_ref().map(|holder| format!(": {holder}")).unwrap_or_default()
    )]
    Busy(Option<LockHolder>),
    /// The stop token was cancelled during the start.
    #[error("stopped before the database was ready")]
    Stopped,
}

/// The API key of the configuration.
///
/// # Errors
/// When there is none.
pub fn api_key(config: &Config) -> Result<&SecretString, Obstacle> {
    config.kakao.api_key.as_ref().ok_or(Obstacle::NoKey)
}

/// Reads the station file; returns the stations and the rows that are ignored because they cannot be used.
///
/// # Errors
/// When the file has no usable station or too many unusable rows, or the stop token is cancelled first.
pub async fn read_stations(config: &Config, stop: &CancellationToken) -> anyhow::Result<(Vec<Station>, LeftOut)> {
    let file = config.crawl.stations.clone();
    let read = beside(stop, move || stations::load(file.as_deref())).await;
    Ok(read.ok_or(Obstacle::Stopped)??)
}

/// Everything that a run needs, except the database.
#[derive(Debug)]
pub struct Equipment {
    client: Client,
    stations: Vec<Station>,
    meters: Meters,
    vitals: Vitals,
}

impl Equipment {
    /// Reads the stations and builds the client of the API.
    ///
    /// # Errors
    /// When there is no key or no station, the HTTP client cannot be created, or the stop token is cancelled first.
    pub async fn new(config: &Config, stop: &CancellationToken) -> anyhow::Result<Self> {
        let key = api_key(config)?;
        let (stations, left_out) = read_stations(config, stop).await?;
        for row in &left_out.first {
            warn!(stations.line = row.line, "a row of the station file is ignored: {row}");
        }
        if left_out.more() > 0 {
            warn!(stations.left_out = left_out.total, "{} more rows of the station file are ignored", left_out.more());
        }
        let client = Client::new(&config.kakao, key)?;
        Ok(Self { client, stations, meters: Meters::default(), vitals: Vitals::default() })
    }

    /// Builds the runner for a database.
    #[must_use]
    pub fn runner(self, config: &Config, store: Store) -> Runner {
        let Self { client, stations, meters, vitals } = self;
        Runner {
            store,
            client: Arc::new(client),
            progress: Progress::default(),
            meters,
            vitals,
            settings: Settings {
                retiring: Retiring::default(),
                coverage: config.crawl.coverage,
                quotas: config.kakao.quotas(),
                grace: config.shutdown.grace,
                rules: Rules {
                    close_after: config.crawl.close_after.get(),
                    max_miss_share: config.crawl.max_miss_share,
                    confirm_closings: config.crawl.confirm_closings,
                    guard: Guard::Up,
                },
                heed: if config.crawl.canaries { Heed::Obeyed } else { Heed::Off },
                host: host(),
                page_delay: config.crawl.page_delay,
                recorded: recorded(config, stations.len()),
            },
            inventory: Inventory { stations, keywords: config.crawl.keywords.clone(), radius_m: config.crawl.radius_m },
        }
    }

    /// Binds the port of the monitoring endpoints; `None` if they are disabled.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn observer<'a>(
        &self,
        config: &Config,
        dropped: &Dropped,
        pages: &'a dyn Pages,
    ) -> anyhow::Result<Option<Observer<'a>>> {
        let Some(listen) = config.observe.listen else { return Ok(None) };
        let mut all = Registry::default();
        let registry = all.sub_registry_with_prefix("sanggwond");
        registry.register(
            "build",
            "The version of the running program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        self.client.gate().register(registry);
        self.meters.register(registry);
        dropped.register(registry);
        let observer = Observer::bind(listen, all, self.vitals.clone(), pages).await;
        let observer = observer.with_context(|| format!("could not listen on {listen} (observe.listen)"))?;
        info!(
            "pages and monitoring endpoints at http://{}: /, /report, /metrics, /livez and /readyz",
            observer.address()?
        );
        Ok(Some(observer))
    }
}

/// The schedule of the configuration.
///
/// # Errors
/// When the schedule cannot be parsed, or is enabled and never due again.
pub fn schedule(config: &Config) -> anyhow::Result<Schedule> {
    let schedule = config.schedule.parse()?;
    if config.schedule.enabled && schedule.next_after(clock::now()).is_none() {
        return Err(Obstacle::NeverDue(schedule.expression().to_owned()).into());
    }
    Ok(schedule)
}

/// Builds the scheduler, which starts its runs with `runner`.
#[must_use]
pub fn scheduler(config: &Config, schedule: Schedule, runner: Runner) -> Scheduler {
    let heartbeat = config.schedule.heartbeat;
    Scheduler {
        runner,
        schedule,
        windows: windows(config),
        heartbeat,
        keep_runs: config.history.keep_runs,
        waiting: Waiting::default(),
        // By default, six heartbeats are one minute.
        lock_wait: LockWait::new(heartbeat.saturating_mul(6).min(PATIENCE)),
        outage: None,
    }
}

/// The catch-up and resume windows of the configuration.
#[must_use]
pub fn windows(config: &Config) -> Windows {
    Windows {
        is_enabled: config.schedule.enabled,
        catch_up: config.schedule.catch_up_window,
        resume: config.schedule.resume_window,
    }
}

/// The user of this process and this machine, as `user@host`: who pauses, cancels or requests something.
#[must_use]
pub fn operator() -> String {
    let id = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(id).ok().flatten().map_or_else(|| id.to_string(), |user| user.name);
    format!("{user}@{}", host())
}

/// The name of this machine.
#[must_use]
pub fn host() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "unknown".to_owned())
}

/// The settings that are stored in `crawl_run.settings`: those that affect a run, without secrets. The settings that a
/// resumed run keeps (`coverage`, `radius_m`, `page_delay`) have columns of their own.
fn recorded(config: &Config, stations: usize) -> serde_json::Value {
    let duration = |duration| humantime::format_duration(duration).to_string();
    json!({
        "stations": config.crawl.stations.as_deref().map(Path::display).map(|path| path.to_string()),
        "stations_count": stations,
        "keywords": config.crawl.keywords.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "close_after": config.crawl.close_after,
        "max_miss_share": config.crawl.max_miss_share,
        "confirm_closings": config.crawl.confirm_closings,
        "canaries": config.crawl.canaries,
        "base_url": config.kakao.base_url,
        "max_in_flight": config.kakao.max_in_flight,
        "timeout": duration(config.kakao.timeout),
        "max_attempts": config.kakao.max_attempts,
        "backoff": duration(config.kakao.backoff),
        "requests_per_second": config.kakao.requests_per_second,
        "daily_quota": config.kakao.daily_quota,
        "monthly_quota": config.kakao.monthly_quota,
        "interrupt_after": duration(config.kakao.interrupt_after),
    })
}
