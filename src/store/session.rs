//! The settings of every session, which override those of the role and the database.

use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// Sets everything that the statements rely on and that `alter role … set` or `alter database … set` can change.
///
/// Statements have a time limit because a half-open connection never answers. A transaction that is silent for eight
/// seconds, like the session of the run lock, belongs to a process that was stopped: its locks must not keep another
/// process from resuming the run. Compiling statements (`jit`) takes longer than running them. Settings that the server does not
/// know are left out: `transaction_timeout` came with PostgreSQL 17.
///
/// `default_transaction_read_only` is not overridden: it protects a database from writes.
///
/// The search path does not contain our schema yet: [`enter`] adds it, after the owners of its objects were checked.
const GREETING: &str = "set statement_timeout = '60s';
    set search_path = pg_catalog, pg_temp;
    select pg_catalog.set_config(name, wanted, false) from (values
        ('lock_timeout', '10s'),
        ('idle_in_transaction_session_timeout', '8s'),
        ('idle_session_timeout', '0'),
        ('transaction_timeout', '0'),
        ('default_transaction_isolation', 'read committed'),
        ('default_transaction_deferrable', 'off'),
        ('jit', 'off'),
        ('client_encoding', 'UTF8'),
        ('TimeZone', 'UTC'),
        ('DateStyle', 'ISO, MDY'),
        ('IntervalStyle', 'postgres'),
        ('extra_float_digits', '1'),
        ('bytea_output', 'hex'),
        ('standard_conforming_strings', 'on'),
        ('quote_all_identifiers', 'off'),
        ('transform_null_equals', 'off'),
        ('array_nulls', 'on'),
        ('lc_numeric', 'C'),
        ('lc_time', 'C'),
        ('row_security', 'on'),
        ('restrict_nonsystem_relation_kind', ''),
        ('exit_on_error', 'off'),
        ('client_min_messages', 'warning')
    ) as setting (name, wanted) where name in (select name from pg_catalog.pg_settings)";

/// Sets up a session.
pub(super) async fn greet(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(GREETING).execute(connection).await.map(drop)
}

/// Lets a session look up names in our schema. What is built in goes first, as always, and what is temporary last: by
/// default it would go before our tables.
pub(super) async fn enter(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("set search_path = sanggwond, pg_temp").execute(connection).await.map(drop)
}

/// Facts about the server that a session reads first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// The encoding of the database.
    pub(super) encoding: String,
    /// The smaller connection limit of role and database; `None` if neither has one.
    pub(super) connection_limit: Option<u32>,
    /// Whether the role is a superuser.
    pub(super) is_superuser: bool,
}

impl Server {
    /// Reads the facts with a simple query, which works behind every pooler.
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let row = sqlx::raw_sql(
            "select current_setting('server_encoding') as encoding,
                 rolsuper or current_setting('is_superuser')::boolean as is_superuser,
                 case when not rolsuper then least(nullif(rolconnlimit, -1), nullif(datconnlimit, -1)) end as connections
             from pg_roles, pg_database where rolname = session_user and datname = current_database()",
        )
        .fetch_one(connection)
        .await?;
        let limit: Option<i32> = row.try_get("connections")?;
        Ok(Self {
            encoding: row.try_get("encoding")?,
            is_superuser: row.try_get("is_superuser")?,
            connection_limit: limit.and_then(|limit| u32::try_from(limit).ok()),
        })
    }
}

/// Detects a pooler in transaction mode, behind which two client sessions share one server session: prepared statements and
/// the run lock do not work there.
///
/// The second holds a transaction meanwhile, which keeps its session of the server from the first. A pooler that takes its
/// sessions of the server in turn shows itself to one that asks again.
pub(super) async fn are_pooled(first: &mut PgConnection, second: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let before = server_process(first).await?;
    if let Err(error) = sqlx::raw_sql("begin").execute(&mut *second).await {
        // A pooler that gives each statement another session takes no transaction at all.
        return if error.as_database_error().is_some() { Ok(true) } else { Err(error) };
    }
    if server_process(second).await? == before {
        // The first would wait for it.
        return Ok(true);
    }
    let meanwhile = server_process(first).await?;
    sqlx::raw_sql("rollback").execute(second).await?;
    let afterwards = [server_process(first).await?, server_process(first).await?];
    Ok(meanwhile != before || afterwards.iter().any(|process| *process != before))
}

/// Process id of the server process that answers.
async fn server_process(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let row: PgRow = sqlx::raw_sql("select pg_backend_pid() as pid").fetch_one(connection).await?;
    row.try_get("pid")
}
