//! Builds the parts of the program from its configuration.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
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
use crate::store::private_server::PrivateServer;
use crate::store::{self, RunLock, SchemaState, Store, Target};

/// The database of the private server; `--demo` adds its suffix.
const PRIVATE_DATABASE: &str = "sanggwond";

/// What `--demo` adds to the name of the database, so that it never touches real data.
const DEMO_SUFFIX: &str = "_demo";

/// How long to wait before a database that is not there is tried again; each wait doubles, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long to wait before the lock is tried again for migrations.
const LOCK_PAUSE: Duration = Duration::from_secs(2);

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

/// The database, and the server of our own if it is in one.
#[derive(Debug)]
pub struct Database {
    /// The connections.
    pub store: Store,
    private: Option<PrivateServer>,
}

impl Database {
    /// Connects to the configured database, else starts or joins the private server.
    ///
    /// # Errors
    /// When there is none, or it cannot be reached.
    pub async fn open(config: &Config, is_demo: bool) -> anyhow::Result<Self> {
        let (target, private) = match &config.database.url {
            Some(url) => (Target::parse(url)?, None),
            None if config.database.private => {
                let server = start_private(config).await?;
                (server.target(PRIVATE_DATABASE), Some(server))
            }
            None => return Err(Obstacle::NoDatabase.into()),
        };
        let opened = Self::connect(target, is_demo, private.is_some()).await;
        match opened {
            Ok(store) => Ok(Self { store, private }),
            Err(error) => {
                leave(private).await;
                Err(error.into())
            }
        }
    }

    /// Opens the database and brings its tables up to date, and waits for a database that is not there yet.
    ///
    /// # Errors
    /// When waiting does not help, or the stop token fires.
    pub async fn await_ready(config: &Config, is_demo: bool, stop: &CancellationToken) -> anyhow::Result<Self> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match Self::open_ready(config, is_demo, stop).await {
                Err(error) if may_pass(&error) => error,
                opened => return opened,
            };
            warn!("{error:#}; trying again in {}", humantime::format_duration(pause));
            tokio::select! {
                () = stop.cancelled() => return Err(Obstacle::Stopped.into()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn open_ready(config: &Config, is_demo: bool, stop: &CancellationToken) -> anyhow::Result<Self> {
        let database = Self::open(config, is_demo).await?;
        match database.migrate(stop).await {
            Ok(()) => Ok(database),
            Err(error) => {
                database.close().await;
                Err(error)
            }
        }
    }

    async fn connect(target: Target, is_demo: bool, is_private: bool) -> Result<Store, store::Error> {
        let target = if is_demo { target.sibling(&format!("{}{DEMO_SUFFIX}", target.database())) } else { target };
        if is_demo || is_private {
            target.create().await?;
        }
        Store::connect(&target).await
    }

    /// Brings the tables up to date, once no run is in the way.
    ///
    /// # Errors
    /// When the database is newer than this version, or a migration fails.
    pub async fn migrate(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut is_told = false;
        while let SchemaState::Behind(missing) = self.store.schema_state().await? {
            if let Some(mut lock) = self.store.try_lock().await? {
                let migrated = self.migrate_under(&mut lock).await;
                lock.release().await;
                migrated?;
                info!("{missing} migrations applied");
                continue;
            }
            if !is_told {
                is_told = true;
                info!("waiting for another process to finish its run before the tables are migrated");
            }
            tokio::select! {
                () = stop.cancelled() => return Err(Obstacle::Stopped.into()),
                () = tokio::time::sleep(LOCK_PAUSE) => {}
            }
        }
        Ok(())
    }

    async fn migrate_under(&self, lock: &mut RunLock) -> Result<(), store::Error> {
        // Another process may have done it before we got the lock; what is applied is not applied twice.
        self.store.migrate(lock).await
    }

    /// Makes sure that there is something to read.
    ///
    /// # Errors
    /// When the tables are missing or the database is newer than this version.
    pub async fn require_tables(&self) -> anyhow::Result<()> {
        match self.store.schema_state().await? {
            SchemaState::Current => Ok(()),
            SchemaState::Behind(_) => Err(Obstacle::NoSchema.into()),
        }
    }

    /// Closes the connections, and stops the private server where nobody else uses it.
    pub async fn close(self) {
        self.store.close().await;
        leave(self.private).await;
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<store::Error>().is_some_and(store::Error::may_pass)
}

async fn start_private(config: &Config) -> anyhow::Result<PrivateServer> {
    let directory = config.database.directory.clone();
    let programs = config.database.programs.clone();
    info!("no database URL is set: using a private PostgreSQL in {}", directory.display());
    let starting = tokio::task::spawn_blocking(move || PrivateServer::start(&directory, &programs));
    Ok(starting.await.context("could not start the private database")??)
}

async fn leave(private: Option<PrivateServer>) {
    let Some(server) = private else { return };
    match tokio::task::spawn_blocking(|| server.leave()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(error = &error as &dyn std::error::Error, "the private database goes on running"),
        Err(_) => warn!("the private database goes on running"),
    }
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
