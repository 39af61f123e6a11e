//! Migrations: what the database has, and bringing it up to date.

use sqlx::Executor;
use sqlx::migrate::{Migrate, Migration, Migrator};

use super::{Error, RunLock, Store};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Where the database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// It has every migration of this version.
    Current,
    /// It lacks this many.
    Behind(usize),
}

impl Store {
    /// Compares the migrations of the database with those of this version; sends no DDL.
    ///
    /// # Errors
    /// When the database is newer than this version or was made by a build that was never released, or fails.
    pub async fn schema_state(&self) -> Result<SchemaState, Error> {
        let mut connection = self.pool.acquire().await?;
        let applied = match connection.list_applied_migrations(&MIGRATIONS.table_name).await {
            Ok(applied) => applied,
            Err(error) if is_undefined_table(&error) => return Ok(SchemaState::Behind(MIGRATIONS.iter().count())),
            Err(error) => return Err(error.into()),
        };
        if let Some(newer) = applied.iter().find(|applied| !MIGRATIONS.version_exists(applied.version)) {
            return Err(Error::NewerSchema(newer.version));
        }
        let is_other = |migration: &&Migration| {
            applied.iter().any(|applied| applied.version == migration.version && applied.checksum != migration.checksum)
        };
        if let Some(other) = MIGRATIONS.iter().find(is_other) {
            return Err(Error::ForeignSchema(other.version));
        }
        let is_missing = |version| applied.iter().all(|applied| applied.version != version);
        match MIGRATIONS.iter().filter(|migration| is_missing(migration.version)).count() {
            0 => Ok(SchemaState::Current),
            missing => Ok(SchemaState::Behind(missing)),
        }
    }

    /// Applies what is missing, on the connection of the lock, so that no run is in the way.
    ///
    /// # Errors
    /// When a migration fails; each one is applied as a whole or not at all.
    pub async fn migrate(&self, lock: &mut RunLock) -> Result<(), Error> {
        let connection = lock.connection();
        // A user who owns the schema need not be allowed to create one.
        let has_schema = sqlx::query_scalar!(r#"select to_regnamespace('sanggwond') is not null as "has_schema!""#)
            .fetch_one(&mut *connection)
            .await?;
        if !has_schema {
            connection.execute("create schema if not exists sanggwond").await?;
        }
        connection.execute("set statement_timeout = 0").await?;
        MIGRATIONS.run_direct(None, connection, false).await?;
        connection.execute("set statement_timeout = '60s'").await?;
        Ok(())
    }
}

fn is_undefined_table(error: &sqlx::migrate::MigrateError) -> bool {
    let sqlx::migrate::MigrateError::Execute(sqlx::Error::Database(error)) = error else { return false };
    error.code().as_deref() == Some("42P01")
}
