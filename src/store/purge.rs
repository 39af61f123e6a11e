//! Purging: deletes places that no run has found for a long time, or all places.
//!
//! The matches, listings and changes of a place are deleted with it. One row of `place_change` without content remains, so
//! that consumers of the changes delete their copies.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{Connection, Executor, PgConnection};

use super::{Error, RunLock};

/// A run that ended before this instant had a wrong clock: the program did not exist then (2026-01-01 in UTC).
const FIRST_RUN: DateTime<Utc> = DateTime::from_timestamp_secs(1_767_225_600).expect("it is within the calendar");

/// A run that ended further in the future had a wrong clock, too.
const AHEAD: TimeDelta = TimeDelta::days(1);

/// Which places are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge {
    /// All places.
    All,
    /// Places that every keyword found last in a run that ended before `since`. A run whose row was deleted counts as such
    /// a run if a later one ended before `since`.
    Unseen {
        /// The limit.
        since: DateTime<Utc>,
        /// The current time.
        now: DateTime<Utc>,
    },
}

/// Number of places that a purge deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeCount {
    /// Places to delete.
    pub going: i64,
    /// All places.
    pub total: i64,
}

impl RunLock {
    /// Counts the places that a purge would delete; deletes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_purge(&mut self, purge: Purge) -> Result<PurgeCount, Error> {
        let mut transaction = self.connection().begin().await?;
        let places = chosen(&mut transaction, purge).await?;
        let count = count(&mut transaction, &places).await?;
        transaction.rollback().await?;
        Ok(count)
    }

    /// Deletes places, unless they are more than `at_most`, and returns their number. What is recorded about the coverage where
    /// they were is deleted, too, so that a place that comes back has not opened.
    ///
    /// # Errors
    /// When the database fails; nothing is deleted then.
    pub async fn purge(&mut self, purge: Purge, at_most: i64, now: DateTime<Utc>) -> Result<PurgeCount, Error> {
        let mut transaction = self.connection().begin().await?;
        let places = chosen(&mut transaction, purge).await?;
        let count = count(&mut transaction, &places).await?;
        if count.going > at_most {
            transaction.rollback().await?;
            return Ok(count);
        }
        match purge {
            Purge::All => {
                sqlx::query!("delete from station_keyword").execute(&mut *transaction).await?;
            }
            Purge::Unseen { .. } => forget_coverage(&mut transaction, &places).await?,
        }
        delete(&mut transaction, &places, now).await?;
        transaction.commit().await?;
        Ok(count)
    }
}

/// The ids of the places to delete.
async fn chosen(connection: &mut PgConnection, purge: Purge) -> Result<Vec<String>, Error> {
    connection.execute("set local statement_timeout = 0").await?;
    let Purge::Unseen { since, now } = purge else {
        return Ok(sqlx::query_scalar!("select place_id from place").fetch_all(connection).await?);
    };
    Ok(sqlx::query_scalar!(
        "with run as (
             select crawl_run_id, coalesce(finished_at, heartbeat_at) as ended_at from crawl_run
         ), believed as (
             select crawl_run_id, ended_at, ended_at between $2 and $3 as is_believed from run
         ), ended as (
             -- Runs are sequential: one that ended before an earlier one had a clock that was behind.
             select crawl_run_id, is_believed and
                 max(ended_at) filter (where is_believed) over (order by crawl_run_id) < $1 as is_old
             from believed
         ), seen as (
             select place_id, greatest(last_seen_run, confirmed_run) as run from place_keyword
         )
         select place_id
         from seen left join ended on ended.crawl_run_id = seen.run
         group by place_id
         having bool_and(coalesce(is_old, seen.run <= (select max(crawl_run_id) from ended where is_old), false))",
        since,
        FIRST_RUN,
        now + AHEAD
    )
    .fetch_all(connection)
    .await?)
}

async fn count(connection: &mut PgConnection, places: &[String]) -> Result<PurgeCount, Error> {
    let total = sqlx::query_scalar!(r#"select count(*) as "count!" from place"#).fetch_one(connection).await?;
    Ok(PurgeCount { going: i64::try_from(places.len()).unwrap_or(i64::MAX), total })
}

/// The circles of these places are not complete without them. Places that are gone are not part of them any more.
async fn forget_coverage(connection: &mut PgConnection, places: &[String]) -> Result<(), Error> {
    sqlx::query!(
        "update station_keyword set complete_since = null
         where complete_since is not null and (station_id, keyword_id) in (
             select station_id, keyword_id from listing where place_id = any($1) and gone_at is null)",
        places
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes places and the rows that refer to them, those first because of the foreign keys.
async fn delete(connection: &mut PgConnection, places: &[String], now: DateTime<Utc>) -> Result<(), Error> {
    sqlx::query!("delete from place_change where place_id = any($1)", places).execute(&mut *connection).await?;
    sqlx::query!("delete from listing where place_id = any($1)", places).execute(&mut *connection).await?;
    sqlx::query!("delete from place_keyword where place_id = any($1)", places).execute(&mut *connection).await?;
    sqlx::query!("delete from place where place_id = any($1)", places).execute(&mut *connection).await?;
    sqlx::query!(
        "insert into place_change (place_id, kind, not_after, recorded_at)
         select place_id, 'purged', $2, $2 from unnest($1::text[]) as t (place_id)",
        places,
        now
    )
    .execute(connection)
    .await?;
    Ok(())
}
