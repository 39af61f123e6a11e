//! The database: every statement that is sent to it lives here.
//!
//! A run's writes go through one transaction per batch ([`Store::write`]) that first checks the run's fence, so a
//! process that lost its run writes nothing.

mod cause;
mod cells;
mod connection;
mod coverage;
mod daemons;
mod ground;
mod lock;
mod misses;
mod places;
pub mod private_server;
mod purge;
mod reading;
mod report;
mod runs;
mod schema;
mod usage;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::domain::cell::Outcome;
use crate::domain::run::RunId;
use crate::domain::station::StationMap;

pub use cause::Cause;
pub use cells::{Leaf, PlannedCell};
pub use connection::Target;
pub use coverage::StationCoverage;
pub use daemons::DaemonId;
pub use ground::StoredKeyword;
pub use lock::RunLock;
pub use misses::{Leaving, Miss};
pub use purge::Depth;
pub use reading::{ChangeFilter, ChangeRow, FailureRow, FullRun, Part, PlaceFilter, PlaceRow, Reader};
pub use report::{
    AreaPosition, BusyArea, Changes, Extent, FailedCell, FailingArea, KeywordChanges, KeywordCoverage, Overview,
    ReportRun, StationReport, Usual,
};
pub use runs::{Closing, Counts, Findings, HistoryRow, LastRuns, NewRun, Opening, RunGround};
pub use schema::SchemaState;

/// The database and the connections to it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    target: Target,
}

/// Why the database could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL says nothing.
    #[error("database.url is no PostgreSQL URL; write postgres://user:password@host/database")]
    Url,
    /// No connection could be made.
    #[error("could not reach the database {database} at {address}")]
    Unreachable {
        /// Its name.
        database: String,
        /// Host and port, or the folder of the socket.
        address: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// A statement failed.
    #[error("a statement failed")]
    Statement(#[source] Cause),
    /// No answer.
    #[error("the database has not answered for {}", humantime::format_duration(*.0))]
    Silent(Duration),
    /// A row says what this version does not know.
    #[error("{table}.{column} holds {value:?}, which this version does not know")]
    Unknown {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Its value.
        value: String,
    },
    /// A migration failed.
    #[error("could not migrate the database")]
    Migration(#[source] Cause),
    /// The database was migrated by a newer version.
    #[error("the database has migration {0}, which this version does not know; install the newer version again")]
    NewerSchema(i64),
    /// The database was migrated by something that was never released.
    #[error(
        "migration {0} of the database is not the one of this version: a build that was never released has made its \
         tables; use another database, or drop the schema sanggwond with all that is in it"
    )]
    ForeignSchema(i64),
    /// The run was taken over by somebody else, or closed.
    #[error("run {0} is no longer ours: another process has taken it over")]
    Superseded(RunId),
}

impl Error {
    /// Whether it may pass by itself: the server is away, starting, full or read-only for the time being.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { cause, .. } | Self::Statement(cause) | Self::Migration(cause) => cause.may_pass(),
            Self::Silent(_) => true,
            Self::Url | Self::Unknown { .. } | Self::NewerSchema(_) | Self::ForeignSchema(_) | Self::Superseded(_) => {
                false
            }
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Statement(error.into())
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(error.into())
    }
}

/// What identifies a claim on a run: whoever resumes it raises the count, and earlier holders write nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The run.
    pub run: RunId,
    /// How often it had been resumed when it was claimed.
    pub resumed_count: i32,
}

/// What a batch changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Places that were not stored before.
    pub places_new: u32,
    /// Stored places whose content changed.
    pub places_changed: u32,
}

impl Store {
    /// Writes what became of some cells, in one transaction: places, listings, cells and counters together.
    ///
    /// Writing the same outcomes twice is the same as once: a cell that was moved on already is left out with all that
    /// it found. A COMMIT whose answer was lost can therefore be repeated.
    ///
    /// # Errors
    /// When the run is no longer ours ([`Error::Superseded`]) or the database fails; nothing is written then.
    pub async fn write(
        &self,
        fence: Fence,
        stations: &StationMap,
        outcomes: &[Outcome],
        now: DateTime<Utc>,
    ) -> Result<Written, Error> {
        let mut transaction = self.pool.begin().await?;
        runs::hold(&mut transaction, fence).await?;
        let moved = cells::advance(&mut transaction, fence.run, outcomes).await?;
        cells::add_pieces(&mut transaction, fence.run, &moved).await?;
        let written = places::upsert(&mut transaction, fence.run, stations, &moved, now).await?;
        runs::count(&mut transaction, fence.run, &moved, written, now).await?;
        transaction.commit().await?;
        Ok(written)
    }
}
