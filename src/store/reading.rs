//! Reads rows for the command line: streams of changes and of places, which may be larger than the memory, and one run in full.

mod changes;
mod places;
mod run;

use sqlx::{Executor, PgConnection};

use super::{Error, Store};
use crate::domain::keyword::KeywordId;
use crate::domain::station::StationId;

pub use changes::{ChangeFilter, ChangeRow};
pub use places::{PlaceFilter, PlaceRow};
pub use run::{FailureRow, FullRun, RunValue};

/// A connection for one stream. Its statements have no time limit, because the consumer of the stream may be slow.
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
    /// Opens a connection for one stream.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn reader(&self) -> Result<Reader, Error> {
        let mut connection = self.target.open().await?;
        connection.execute("set statement_timeout = 0").await?;
        Ok(Reader { connection })
    }
}
