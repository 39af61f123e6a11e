//! Migrations: compares the database with this version, and applies what is missing.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sqlx::migrate::{Migrate, Migration, Migrator};
use sqlx::{Executor, PgConnection};

use super::{Error, RunLock, Store, owners, purpose};

/// The run lock prevents concurrent migrations. The lock of sqlx is off: any role could hold it, and sqlx waits for it without
/// a limit.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!();
    migrations.set_locking(false);
    migrations
});

/// The migrations of a database, compared with those of this version.
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
    /// When the database fails, is newer than this version, or was created by an unreleased build.
    pub async fn schema_state(&self) -> Result<SchemaState, Error> {
        self.verify().await?;
        let mut connection = self.pool.acquire().await?;
        let applied = match connection.list_applied_migrations(&MIGRATIONS.table_name).await {
            Ok(applied) => applied,
            Err(error) if is_undefined_table(&error) => {
                return Ok(SchemaState::Behind(MIGRATIONS.iter().count()));
            }
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
        // The tables may have been created after the connection was checked.
        purpose::check(&mut connection, &self.target).await?;
        match MIGRATIONS.iter().filter(|migration| is_missing(migration.version)).count() {
            0 => Ok(SchemaState::Current),
            missing => Ok(SchemaState::Behind(missing)),
        }
    }

    /// Applies the missing migrations on the connection of the run lock, so that no run works meanwhile, and records what the
    /// tables are for.
    ///
    /// # Errors
    /// When a migration fails (each one is applied as a whole or not at all), or the database is for another purpose.
    pub async fn migrate(&self, lock: &mut RunLock, now: DateTime<Utc>) -> Result<(), Error> {
        let connection = lock.connection();
        let found = purpose::check(connection, &self.target).await?;
        let rights = Rights::of(connection).await?;
        // The owner of the schema may lack the right to create one.
        if rights.schema_owner.is_none() {
            if !rights.may_create_schema {
                let Rights { role, database, .. } = rights;
                return Err(Error::MayNotCreateSchema { role, database });
            }
            connection.execute("create schema if not exists sanggwond").await?;
            // Another role may have created it meanwhile.
            owners::verify(connection, &self.target).await?;
        }
        connection.execute("set statement_timeout = 0").await?;
        MIGRATIONS.run_direct(None, connection, false).await.map_err(|error| rights.explain(error.into()))?;
        connection.execute("set statement_timeout = '60s'").await?;
        owners::verify(connection, &self.target).await?;
        purpose::mark(connection, found.unwrap_or(self.target.purpose()), now).await?;
        purpose::check(connection, &self.target).await?;
        Ok(())
    }
}

/// The rights of our role, and the names of the role and the database, quoted as identifiers.
struct Rights {
    role: String,
    database: String,
    /// The owner of the schema; `None` if there is no schema.
    schema_owner: Option<String>,
    may_create_schema: bool,
}

impl Rights {
    async fn of(connection: &mut PgConnection) -> Result<Self, Error> {
        let row = sqlx::query!(
            r#"select quote_ident(current_user) as "role!", quote_ident(current_database()) as "database!",
                 (select quote_ident(pg_get_userbyid(nspowner)) from pg_namespace where nspname = 'sanggwond') as owner,
                 has_database_privilege(current_database(), 'create') as "may_create!""#
        )
        .fetch_one(connection)
        .await?;
        Ok(Self { role: row.role, database: row.database, schema_owner: row.owner, may_create_schema: row.may_create })
    }

    /// Replaces "permission denied" in a migration with the role that would be allowed to apply it.
    fn explain(self, error: Error) -> Error {
        match (&error, self.schema_owner) {
            (Error::Migration(cause), Some(owner)) if cause.code().as_deref() == Some("42501") => {
                Error::NotOwner { role: self.role, owner }
            }
            _ => error,
        }
    }
}

fn is_undefined_table(error: &sqlx::migrate::MigrateError) -> bool {
    let sqlx::migrate::MigrateError::Execute(sqlx::Error::Database(error)) = error else { return false };
    error.code().as_deref() == Some("42P01")
}
