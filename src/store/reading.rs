//! Reads rows for the command line: changes and places, which may be more than fit into the memory, and one run in full.

mod changes;
mod places;
mod run;

use sqlx::{Executor, PgConnection};

use super::{Error, Store};
use crate::domain::keyword::KeywordId;
use crate::domain::station::StationId;

pub use changes::{ChangeFilter, ChangeRow};
pub use places::{PlaceFilter, PlaceKey, PlaceRow};
pub use run::{FailureRow, FullRun, RunValue};

/// A connection that reads one state of the database. Its statements have no time limit, because the consumer of a stream may be slow.
#[derive(Debug)]
pub struct Reader {
    connection: PgConnection,
}

/// A filter by stations and keywords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Only places that these stations list, including places whose match was dropped; `None`: no limit.
    pub stations: Option<Vec<StationId>>,
    /// Only places that these keywords found, including places whose match was dropped; `None`: no limit.
    pub keywords: Option<Vec<KeywordId>>,
}

impl Part {
    fn station_ids(&self) -> Option<Vec<i32>> {
        self.stations.as_ref().map(|stations| stations.iter().map(|station| station.0).collect())
    }

    fn keyword_ids(&self) -> Option<Vec<i32>> {
        self.keywords.as_ref().map(|keywords| keywords.iter().map(|keyword| keyword.0).collect())
    }
}

impl Store {
    /// Opens a connection that reads the database as it is now, whatever is written meanwhile.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn reader(&self) -> Result<Reader, Error> {
        let mut connection = self.target.open().await?;
        connection.execute("set statement_timeout = 0; set idle_in_transaction_session_timeout = 0").await?;
        connection.execute("begin isolation level repeatable read read only").await?;
        Ok(Reader { connection })
    }
}
