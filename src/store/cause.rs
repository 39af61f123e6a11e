//! Errors of the database driver as one line.

use std::error::Error;
use std::fmt;

use sqlx::migrate::MigrateError;

use crate::config::redaction::redacted;

/// An error of the driver, displayed without repeated causes and without line numbers of the server's source.
pub struct Cause(sqlx::Error);

impl Cause {
    /// Whether the error may be temporary.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        // Connections, resources, shutdown and start, a read-only server: a standby becomes the primary in time.
        const PASSING: [&str; 5] = ["08", "53", "57P", "25006", "55P03"];
        match self.code() {
            // PgBouncer uses one code of class 08 for most of its errors, this permanent one included.
            Some(_) if self.is_refused_parameter() => false,
            Some(code) => PASSING.iter().any(|class| code.starts_with(class)),
            None => matches!(self.0, sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_)),
        }
    }

    /// Whether the server refuses a value: out of range, against a constraint, too long for an index, or refused by a trigger.
    pub(super) fn is_refusal(&self) -> bool {
        const REFUSALS: [&str; 4] = ["22", "23", "54", "P0"];
        self.code().is_some_and(|code| REFUSALS.iter().any(|class| code.starts_with(class)))
    }

    /// Whether the pool had no connection in time; the error does not contain the reason.
    pub(super) fn is_wait_for_connection(&self) -> bool {
        matches!(self.0, sqlx::Error::PoolTimedOut)
    }

    /// Whether a pooler refuses a startup parameter.
    fn is_refused_parameter(&self) -> bool {
        self.0.as_database_error().is_some_and(|error| error.message().contains("unsupported startup parameter"))
    }

    /// What the operator can do, if it is known.
    fn remedy(&self) -> &'static str {
        if self.is_refused_parameter() {
            return "; leave it out of database.url, or name it in ignore_startup_parameters of PgBouncer";
        }
        match self.code().as_deref() {
            Some("53300") => {
                "; a daemon or a crawl makes 3 connections (2 where its role may have no more), another command 1 or 2"
            }
            Some("25006") => "; it is a standby, or its sessions are read-only (database.url may name all servers)",
            // A statement that was prepared in another session.
            Some("26000" | "42P05") => "; is there a pooler before the database? set its pool_mode = session",
            _ => "",
        }
    }

    /// The SQLSTATE, if the error comes from the server.
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
            (sqlx::Error::Database(error), Some(code)) => {
                write!(f, "{} ({}){}", redacted(error.message()), redacted(&code), self.remedy())
            }
            (sqlx::Error::Io(error), _) => f.write_str(&redacted(&error.to_string())),
            (sqlx::Error::PoolTimedOut, _) => f.write_str("no connection in time"),
            (error, _) => f.write_str(&redacted(&error.to_string())),
        }
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cause({self})")
    }
}

impl Error for Cause {}
