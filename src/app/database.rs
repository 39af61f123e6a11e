//! Opens the database (the configured one or a private server), waits until it is reachable, and applies migrations.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Obstacle;
use crate::clock;
use crate::config::Config;
use crate::domain::run::Outage;
use crate::scheduler::lock_wait::{LockWait, PATIENCE};
use crate::store::private_server::PrivateServer;
use crate::store::{self, RunLock, SchemaState, Store, Target};
use crate::systemd;

/// The name of the database in the private server; `--demo` appends its suffix.
const PRIVATE_DATABASE: &str = "sanggwond";

/// The pause before the next attempt to reach the database. It doubles after each attempt, up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The pause before the next attempt to take the lock for migrations.
const LOCK_PAUSE: Duration = Duration::from_secs(2);

/// The database, and the private server if it is in one.
#[derive(Debug)]
pub struct Database {
    /// The connections.
    pub store: Store,
    /// The outage that was waited for during the start, if there was one.
    pub outage: Option<Outage>,
    private: Option<PrivateServer>,
}

impl Database {
    /// Connects to the configured database; without one, starts the private server or uses the one that is running.
    ///
    /// # Errors
    /// When no database is configured, or it cannot be reached.
    pub async fn open(config: &Config, is_demo: bool) -> anyhow::Result<Self> {
        let (target, private) = match &config.database.url {
            Some(url) => (Target::parse(url)?.owned_by(config.database.owner.clone()), None),
            None if config.database.private => {
                let server = start_private(config).await?;
                (server.target(PRIVATE_DATABASE), Some(server))
            }
            None => return Err(Obstacle::NoDatabase.into()),
        };
        let opened = Self::connect(target, is_demo, private.is_some()).await;
        match opened {
            Ok(store) => Ok(Self { store, outage: None, private }),
            Err(error) => {
                leave(private).await;
                Err(error.into())
            }
        }
    }

    /// Opens the database and applies migrations; waits while the database is unreachable.
    ///
    /// # Errors
    /// When the error is not a temporary one, or the stop token is cancelled.
    pub async fn await_ready(config: &Config, is_demo: bool, stop: &CancellationToken) -> anyhow::Result<Self> {
        let mut pause = FIRST_PAUSE;
        let mut outage = None;
        loop {
            let error = match Self::open_ready(config, is_demo, stop).await {
                Err(error) if may_pass(&error) => error,
                opened => return opened.map(|database| Self { outage, ..database }),
            };
            let since = outage.map_or_else(clock::now, |outage: Outage| outage.since);
            outage = Some(Outage { since, reason: format!("{error:#}") });
            warn!("{error:#}; trying again in {}", humantime::format_duration(pause));
            systemd::status(&format!("waiting for the database: {error:#}"));
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
        let target = if is_demo { target.demo()? } else { target };
        if is_demo || is_private {
            target.create().await?;
        }
        Store::connect(&target).await
    }

    /// Whether it is in a private server.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }

    /// Applies the missing migrations, after the current run of another process has ended.
    ///
    /// # Errors
    /// When the database is newer than this version, or a migration fails.
    pub async fn migrate(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut is_logged = false;
        let wait = LockWait::new(PATIENCE);
        while let SchemaState::Behind(missing) = self.store.schema_state().await? {
            if let Some(mut lock) = self.store.try_lock().await? {
                let migrated = self.migrate_under(&mut lock).await;
                lock.release().await;
                migrated?;
                info!("{missing} migrations applied");
                continue;
            }
            let holder = self.store.lock_holder().await?;
            if !is_logged {
                is_logged = true;
                let named = holder.as_ref().map(|holder| format!(": {holder}")).unwrap_or_default();
                let waiting =
                    format!("waiting for another process to finish its run before applying migrations{named}");
                info!("{waiting}");
                systemd::status(&waiting);
            }
            wait.go_on(holder.as_ref());
            tokio::select! {
                () = stop.cancelled() => return Err(Obstacle::Stopped.into()),
                () = tokio::time::sleep(LOCK_PAUSE) => {}
            }
        }
        Ok(())
    }

    /// Takes the run lock.
    ///
    /// # Errors
    /// When another process holds it, or the database fails.
    pub async fn lock(&self) -> anyhow::Result<RunLock> {
        match self.store.try_lock().await? {
            Some(lock) => Ok(lock),
            None => Err(Obstacle::Busy(self.store.lock_holder().await?).into()),
        }
    }

    async fn migrate_under(&self, lock: &mut RunLock) -> Result<(), store::Error> {
        // If another process has migrated before we got the lock, this does nothing.
        self.store.migrate(lock, clock::now()).await
    }

    /// Checks that the tables exist.
    ///
    /// # Errors
    /// When the tables are missing or the database is newer than this version.
    pub async fn require_tables(&self) -> anyhow::Result<()> {
        match self.store.schema_state().await? {
            SchemaState::Current => Ok(()),
            SchemaState::Behind(_) => Err(Obstacle::NoSchema.into()),
        }
    }

    /// Closes the connections, and stops the private server if no other process uses it.
    pub async fn close(self) {
        self.store.close().await;
        leave(self.private).await;
    }
}

fn may_pass(error: &anyhow::Error) -> bool {
    error.downcast_ref::<store::Error>().is_some_and(store::Error::may_pass)
}

async fn start_private(config: &Config) -> anyhow::Result<PrivateServer> {
    let directory = &config.database.directory;
    info!("no database URL is set: using a private PostgreSQL in {}", directory.display());
    Ok(PrivateServer::start(directory, &config.database.programs).await?)
}

async fn leave(private: Option<PrivateServer>) {
    let Some(server) = private else { return };
    if let Err(error) = server.leave().await {
        warn!(
            error = &error as &dyn std::error::Error,
            "could not stop the private PostgreSQL server; it keeps running"
        );
    }
}
