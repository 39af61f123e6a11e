//! The database: every SQL statement is in this module.
//!
//! A run writes each batch in one transaction ([`Store::write`]), which first checks the run's fence: a process whose run
//! was taken over writes nothing.

mod batch;
mod canaries;
mod cause;
mod cells;
mod connection;
mod coverage;
mod daemons;
mod doubts;
mod hosts;
mod inventory;
mod known;
mod lock;
mod lost;
mod misses;
mod notices;
mod owners;
mod pauses;
mod places;
pub mod private_server;
mod purge;
mod purpose;
mod reading;
mod report;
mod requests;
mod runs;
mod schema;
mod session;
mod situation;
mod slow;
mod url;
mod usage;

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use tracing::warn;

use crate::domain::cell::{Cell, Outcome};
use crate::domain::run::RunId;
use crate::domain::station::StationMap;

pub use canaries::{Checked, Familiar, Wanted};
pub use cause::Cause;
pub use cells::{FailedCells, Leaf, Ledger, PlannedCell};
pub use connection::Target;
pub use coverage::StationCoverage;
pub use daemons::{DaemonId, SILENT_AFTER};
pub use doubts::{Doubt, DoubtKind, DoubtTally};
use hosts::Watch;
pub use inventory::RowsLost;
pub use known::KnownPlaces;
pub use lock::{LockHolder, RunLock};
pub use misses::{Confirmed, Miss, NamedPlace};
pub use notices::{Notice, Undelivered};
pub use purge::{Purge, PurgeCount};
pub use purpose::Purpose;
pub use reading::{
    ChangeFilter, ChangeRow, FailureRow, FullRun, Part, PlaceFilter, PlaceKey, PlaceRow, Reader, RunValue,
};
pub use report::{
    AreaPosition, BusyArea, Changes, Extent, FailedCell, FailingArea, KeywordChanges, KeywordCoverage, Overview,
    ReportRun, StationReport, Usual,
};
pub use runs::{Cancelled, Counts, Findings, HistoryRow, LastRuns, NewRun, Opening, RunEnd, RunPlan};
pub use schema::SchemaState;
pub use situation::{ChangeCounts, DaemonRow, UnfinishedRun};
pub use slow::timed;

/// The database and the connections to it.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    target: Target,
    /// The connection limit of the role; `None`: no limit.
    connection_limit: Option<u32>,
    is_superuser: bool,
    /// Keeps the pools pointed to the primary, if the URL names several servers.
    watch: Option<Arc<Watch>>,
}

/// Why an operation of the database failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be read.
    #[error("database.url (DATABASE_URL) cannot be used: {0}")]
    Url(url::Fault),
    /// The database is for another purpose: a demo, or real places.
    #[error("{0}")]
    Purpose(purpose::Fault),
    /// The database has another encoding than UTF-8.
    #[error(
        "the database {database} has the encoding {encoding}, but Korean names need UTF8; create another database: \
         create database {database}_utf8 encoding 'UTF8' locale 'C' template template0"
    )]
    Encoding {
        /// Its name.
        database: String,
        /// Its encoding.
        encoding: String,
    },
    /// A pooler in transaction or statement mode is in front of the database.
    #[error(
        "a pooler in transaction or statement mode is in front of the database, which breaks the run lock and prepared \
         statements: set pool_mode = session for this database (PgBouncer), or connect to the server directly"
    )]
    Pooled,
    /// The connection limit of the role is too low.
    #[error("{needed} connections are needed, and the role may have {limit}: alter role … connection limit {wanted}")]
    TooFewConnections {
        /// How many it may have.
        limit: u32,
        /// How many are needed.
        needed: u32,
        /// How many are used if it may have them.
        wanted: u32,
    },
    /// The role may not create the schema.
    #[error(
        "the role {role} may not create the schema sanggwond in the database {database}; let its owner run: grant create on \
         database {database} to {role}"
    )]
    MayNotCreateSchema {
        /// The role, quoted where it must be.
        role: String,
        /// The database, quoted where it must be.
        database: String,
    },
    /// The role may not create a database.
    #[error(
        "this role may not create the database {0}; let a superuser create it for this role, or run: alter role … createdb"
    )]
    MayNotCreateDatabase(String),
    /// The tables belong to another role.
    #[error(
        "the role {role} may not change the tables of the schema sanggwond, which belongs to {owner}: run `sanggwond migrate` \
         as {owner}"
    )]
    NotOwner {
        /// The role, quoted where it must be.
        role: String,
        /// The owner of the schema, quoted where it must be.
        owner: String,
    },
    /// The role may not see the tables.
    #[error(
        "the role {0} may not use the schema sanggwond: run deploy/roles.sql, and then: grant sanggwond_reader (or \
         sanggwond_writer) to {0}"
    )]
    MayNotUseSchema(String),
    /// Something in the schema belongs to a role that is not trusted.
    #[error(
        "the {object} belongs to the role {owner}, which is not trusted: its code would run with the rights of {role}; if \
         {owner} is to own the tables, set database.owner or run deploy/roles.sql again, otherwise drop the object"
    )]
    Stranger {
        /// What it is, and its name.
        object: String,
        /// Whose it is, quoted where it must be.
        owner: String,
        /// The role of the connection, quoted where it must be.
        role: String,
    },
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
    /// The database does not answer.
    #[error("the database has not answered for {}", humantime::format_duration(*.0))]
    Silent(Duration),
    /// A row holds a value that this version does not know.
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
    /// The database lacks migrations.
    #[error("migrations are missing in the database ({0}): restart the daemon, or run `sanggwond migrate`")]
    OlderSchema(usize),
    /// The database was migrated by an unreleased build.
    #[error(
        "migration {0} of the database differs from that of this version: an unreleased build created the tables; use another \
         database, or drop the schema sanggwond with all its contents"
    )]
    ForeignSchema(i64),
    /// The run was taken over by another process, or is finished.
    #[error("another process has taken over run {0}")]
    Superseded(RunId),
}

impl Error {
    /// The server of a session is not the primary any more.
    fn replaced() -> Self {
        sqlx::Error::Io(std::io::Error::other("the primary is another server now")).into()
    }

    /// Whether the database refused a value of the statement; the same statement with other values may succeed.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Statement(cause) if cause.is_refusal())
    }

    /// Whether the cause may be temporary: the server is unreachable, starting, full or read-only.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { cause, .. } | Self::Statement(cause) | Self::Migration(cause) => cause.may_pass(),
            Self::Silent(_) => true,
            Self::Url(_)
            | Self::Purpose(_)
            | Self::Encoding { .. }
            | Self::Pooled
            | Self::TooFewConnections { .. }
            | Self::MayNotCreateSchema { .. }
            | Self::MayNotCreateDatabase(_)
            | Self::NotOwner { .. }
            | Self::MayNotUseSchema(_)
            | Self::Stranger { .. }
            | Self::Unknown { .. }
            | Self::NewerSchema(_)
            | Self::OlderSchema(_)
            | Self::ForeignSchema(_)
            | Self::Superseded(_) => false,
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

/// A claim on a run. Resuming the run raises the count, so that processes with an older count can no longer write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The run.
    pub run: RunId,
    /// How many times the run had been resumed when it was claimed.
    pub resumed_count: i32,
    /// The generation of the primary when it was claimed ([`Store::generation`]).
    pub generation: u64,
}

/// The numbers of rows that a batch changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Places that the run had not found before.
    pub places_seen: u32,
    /// Places that were not stored before.
    pub places_new: u32,
    /// Stored places whose content changed.
    pub places_changed: u32,
    /// Cells that failed because the database refused what they found.
    pub cells_refused: u32,
}

impl AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.places_new += other.places_new;
        self.places_changed += other.places_changed;
        self.cells_refused += other.cells_refused;
    }
}

impl Store {
    /// Writes the outcomes of some cells in one transaction: places, listings, cells and counters.
    ///
    /// Writing the same outcomes twice is the same as once: a cell that is no longer pending is left out, with its places.
    /// A COMMIT whose answer was lost can therefore be repeated. If the database refuses a value, the cells are written one
    /// by one, and the cell with that value fails with the reason.
    ///
    /// Also returns the sub-rectangles of divided cells, as new cells.
    ///
    /// # Errors
    /// When another process has taken over the run ([`Error::Superseded`]) or the database fails; nothing is written then.
    pub async fn write(
        &self,
        fence: Fence,
        stations: &StationMap,
        outcomes: &[Outcome],
        now: DateTime<Utc>,
    ) -> Result<(Written, Vec<Cell>), Error> {
        let cells = if outcomes.len() == 1 { "cell" } else { "cells" };
        let what = format!("writing {} {cells}", outcomes.len());
        timed(&what, self.write_whole_or_one_by_one(fence, stations, outcomes, now)).await
    }

    async fn write_whole_or_one_by_one(
        &self,
        fence: Fence,
        stations: &StationMap,
        outcomes: &[Outcome],
        now: DateTime<Utc>,
    ) -> Result<(Written, Vec<Cell>), Error> {
        match self.write_together(fence, stations, outcomes, now).await {
            Err(error) if error.is_refusal() => {}
            written => return written,
        }
        let (mut written, mut added) = (Written::default(), Vec::new());
        for outcome in outcomes {
            written += match self.write_together(fence, stations, std::slice::from_ref(outcome), now).await {
                Err(Error::Statement(cause)) if cause.is_refusal() => {
                    let (no, reason) = (outcome.cell.no.0, format!("the database refuses its places: {cause}"));
                    warn!(run.id = fence.run.0, cell.no = no, "cell {no} fails: {reason}");
                    let failed = outcome.clone().failed(reason);
                    let cells_refused = u32::from(outcome.status() != failed.status());
                    Written { cells_refused, ..self.write_together(fence, stations, &[failed], now).await?.0 }
                }
                one => {
                    let (written, cells) = one?;
                    added.extend(cells);
                    written
                }
            };
        }
        Ok((written, added))
    }

    async fn write_together(
        &self,
        fence: Fence,
        stations: &StationMap,
        outcomes: &[Outcome],
        now: DateTime<Utc>,
    ) -> Result<(Written, Vec<Cell>), Error> {
        let mut batch = self.batch(fence, stations, now).await?;
        let moved = cells::advance(&mut batch.transaction, fence.run, outcomes).await?;
        let added = cells::add_sub_rectangles(&mut batch.transaction, fence.run, &moved).await?;
        let written = places::upsert(&mut batch, &moved).await?;
        runs::count(&mut batch, &moved, written).await?;
        batch.commit().await?;
        Ok((written, added))
    }
}
