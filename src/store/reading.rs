//! Answers that are longer than memory: what changed, and places for an export, row by row.

mod changes;
mod places;
mod run;

use sqlx::{Executor, PgConnection};

use super::{Error, Store, StoredKeyword, ground};
use crate::domain::keyword::KeywordId;
use crate::domain::station::{StationId, StoredStation};

pub use changes::{ChangeFilter, ChangeRow};
pub use places::{PlaceFilter, PlaceRow};
pub use run::{FailureRow, FullRun};

/// A connection for one long answer. Whoever reads it may take his time, so statements have no limit here.
#[derive(Debug)]
pub struct Reader {
    connection: PgConnection,
}

/// The part of the ground that is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Places that are, or were, listed near these stations; `None`: wherever they are.
    pub stations: Option<Vec<StationId>>,
    /// Places that these keywords find, or found; `None`: whichever does.
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
    /// Connects for a long answer.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn reader(&self) -> Result<Reader, Error> {
        let mut connection = self.target.patient().connect().await?;
        connection.execute("set statement_timeout = 0").await?;
        Ok(Reader { connection })
    }

    /// All stored stations and keywords, retired ones included.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_ground(&self) -> Result<(Vec<StoredStation>, Vec<StoredKeyword>), Error> {
        let mut connection = self.pool.acquire().await?;
        Ok((ground::stations(&mut connection).await?, ground::keywords(&mut connection).await?))
    }
}
