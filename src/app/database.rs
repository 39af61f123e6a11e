//! The database: the configured one, or a server of our own; waited for, and brought up to date.

use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Obstacle;
use crate::config::Config;
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
