//! What a database is for: real places, or a demo world. Neither kind of run may touch the other's database.
//!
//! The name in the URL is not enough: PostgreSQL truncates long names, and a pooler may map every name to one database.
//! Therefore the server is asked for the name of the database, and a row that is written with the tables records what they
//! are for.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Error, Target};

/// What `--demo` adds to the name of the database.
const SUFFIX: &str = "_demo";

/// PostgreSQL truncates longer names, in bytes.
const LONGEST_NAME: usize = 63;

/// What a database is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Places from Kakao.
    Real,
    /// Places of a demo world (`--demo`).
    Demo,
}

/// Why a database cannot be used for this purpose.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The name of the demo database would be that of the real one.
    #[error("--demo needs a database of its own, but its name would be that of the real one, {0}; rename the real one")]
    SameName(String),
    /// A pooler or the server leads to another database.
    #[error(
        "--demo needs the database {asked}, but the connection leads to the database {actual}; connect to the server \
         itself, or let the pooler lead to {asked}"
    )]
    Elsewhere {
        /// The database that was asked for.
        asked: String,
        /// The one that answers.
        actual: String,
    },
    /// Real places where a demo world should be.
    #[error(
        "the database {0} holds real places, and --demo needs a demo world; leave --demo out, or rename the database"
    )]
    NotDemo(String),
    /// A demo world where real places should be.
    #[error(
        "the database {0} holds a demo world, not real places; add --demo, or name another database in database.url \
         (DATABASE_URL)"
    )]
    NotReal(String),
}

/// The name of the demo database beside a real one. A long name is truncated at a character, so that the suffix fits.
pub(super) fn demo_name(real: &str) -> Result<String, Fault> {
    let stem = &real[..real.floor_char_boundary(LONGEST_NAME - SUFFIX.len())];
    let demo = format!("{stem}{SUFFIX}");
    // The server truncates the real name as well.
    if demo == real[..real.floor_char_boundary(LONGEST_NAME)] {
        return Err(Fault::SameName(real.to_owned()));
    }
    Ok(demo)
}

/// Checks that the database is the one that the target names, and returns what its tables are for; `None` if it has no
/// tables yet.
pub(super) async fn check(connection: &mut PgConnection, target: &Target) -> Result<Option<Purpose>, Error> {
    let (actual, found) = find(connection).await?;
    match (target.purpose(), found) {
        (Purpose::Demo, _) if actual != target.database() => {
            Err(Fault::Elsewhere { asked: target.database().to_owned(), actual }.into())
        }
        (Purpose::Demo, Some(Purpose::Real)) => Err(Fault::NotDemo(actual).into()),
        (Purpose::Real, Some(Purpose::Demo)) => Err(Fault::NotReal(actual).into()),
        (Purpose::Demo | Purpose::Real, found) => Ok(found),
    }
}

/// The name of the database, and what its tables are for.
async fn find(connection: &mut PgConnection) -> Result<(String, Option<Purpose>), Error> {
    let database = sqlx::query!(
        r#"select current_database()::text as "name!",
             coalesce(bool_or(relname = 'installation'), false) as "is_marked!",
             coalesce(bool_or(relname = 'crawl_run'), false) as "has_runs!"
         from pg_class join pg_namespace n on n.oid = relnamespace where nspname = 'sanggwond'"#
    )
    .fetch_one(&mut *connection)
    .await?;
    let marked = if database.is_marked {
        sqlx::query_scalar!("select is_demo from installation").fetch_optional(&mut *connection).await?
    } else {
        None
    };
    let is_demo = match marked {
        Some(is_demo) => Some(is_demo),
        None if database.has_runs => Some(database.name.ends_with(SUFFIX) && asked_a_standin(connection).await?),
        None => None,
    };
    Ok((database.name, is_demo.map(|is_demo| if is_demo { Purpose::Demo } else { Purpose::Real })))
}

/// Whether all runs in tables without a mark (of an earlier version) used a stand-in on the same machine.
async fn asked_a_standin(connection: &mut PgConnection) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"select coalesce(bool_and(settings ->> 'base_url' like 'http://127.0.0.1:%'), true) as "is_demo!"
         from crawl_run where settings ? 'base_url'"#
    )
    .fetch_one(connection)
    .await?)
}

/// Records what the tables are for, if it is not recorded yet.
pub(super) async fn mark(connection: &mut PgConnection, purpose: Purpose, now: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!(
        "insert into installation (is_demo, owner_role, created_at) values ($1, current_user, $2) on conflict do nothing",
        purpose == Purpose::Demo,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Purpose(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_demo_database_is_short_enough_and_differs_from_the_real_one() {
        let long = "x".repeat(LONGEST_NAME);
        let korean = "상".repeat(LONGEST_NAME / 3);
        for (real, demo) in [
            ("places", "places_demo".to_owned()),
            ("places_demo", "places_demo_demo".to_owned()),
            (&"x".repeat(58), format!("{}_demo", "x".repeat(58))),
            (&"x".repeat(59), format!("{}_demo", "x".repeat(58))),
            (&long, format!("{}_demo", "x".repeat(58))),
            (&korean, format!("{}_demo", "상".repeat(19))),
        ] {
            assert_eq!(demo_name(real).unwrap(), demo, "{real}");
        }
        for real in [format!("{}_demo", "x".repeat(58)), format!("{}_demo and more", "x".repeat(58))] {
            assert!(demo_name(&real).unwrap_err().to_string().contains("rename the real one"), "{real}");
        }
    }
}
