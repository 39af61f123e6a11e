//! What the database driver has to say, in one line.

use std::error::Error;
use std::fmt;

use sqlx::migrate::MigrateError;

/// An error of the driver. Its own words repeat their causes and count lines of the server's source; these do not.
#[derive(Debug)]
pub struct Cause(sqlx::Error);

impl Cause {
    /// Whether it may pass by itself.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        // Connections, resources, shutdown and start, a read-only server: a standby becomes the primary in time.
        const PASSING: [&str; 5] = ["08", "53", "57P", "25006", "55P03"];
        match self.code() {
            Some(code) => PASSING.iter().any(|class| code.starts_with(class)),
            None => matches!(self.0, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_)),
        }
    }

    /// The SQLSTATE, where the server itself has spoken.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        Some(self.0.as_database_error()?.code()?.into_owned())
    }
}

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl From<MigrateError> for Cause {
    fn from(error: MigrateError) -> Self {
        if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = error {
            return Self(error);
        }
        Self(sqlx::Error::Migrate(Box::new(error)))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, self.code()) {
            (sqlx::Error::Database(error), Some(code)) => write!(f, "{} ({code})", error.message()),
            (sqlx::Error::Io(error), _) => error.fmt(f),
            (sqlx::Error::PoolTimedOut, _) => f.write_str("no connection in time"),
            (error, _) => error.fmt(f),
        }
    }
}

impl Error for Cause {}
