//! Deleting places for good: those that no run has seen for long, or all of them.

use chrono::{DateTime, Utc};
use sqlx::{Connection, Executor};

use super::{Error, RunLock};

/// How far a deletion goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The places are counted, and stay.
    Count,
    /// The places are deleted.
    Delete,
}

impl RunLock {
    /// Deletes the places that every keyword saw last in a run that ended before `cutoff`, with all that tells of them,
    /// and returns how many. A run that is forgotten already ended before any later one that ended before then.
    ///
    /// # Errors
    /// When the database fails; nothing is deleted then.
    pub async fn purge_unseen(&mut self, cutoff: DateTime<Utc>, depth: Depth) -> Result<i64, Error> {
        let mut transaction = self.connection().begin().await?;
        transaction.execute("set local statement_timeout = 0").await?;
        // The rows that refer to a place go with it: what is referred to is checked at the end of the statement.
        let count = sqlx::query_scalar!(
            r#"with ended as (
                 select crawl_run_id, coalesce(finished_at, heartbeat_at) < $1 as is_old from crawl_run
             ), seen as (
                 select place_id, greatest(last_seen_run, confirmed_run) as run from place_keyword
             ), unseen as (
                 select place_id
                 from seen left join ended on ended.crawl_run_id = seen.run
                 group by place_id
                 having bool_and(coalesce(is_old, seen.run <= (select max(crawl_run_id) from ended where is_old), false))
             ), links as (
                 delete from place_keyword where $2 and place_id in (select place_id from unseen)
             ), listings as (
                 delete from listing where $2 and place_id in (select place_id from unseen)
             ), changes as (
                 delete from place_change where $2 and place_id in (select place_id from unseen)
             ), places as (
                 delete from place where $2 and place_id in (select place_id from unseen)
             )
             select count(*) as "count!" from unseen"#,
            cutoff,
            depth == Depth::Delete
        )
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(count)
    }

    /// Deletes all places and all that tells of them, and forgets that any ground was complete. Returns how many places.
    ///
    /// # Errors
    /// When the database fails; nothing is deleted then.
    pub async fn purge_all(&mut self, depth: Depth) -> Result<i64, Error> {
        let mut transaction = self.connection().begin().await?;
        transaction.execute("set local statement_timeout = 0").await?;
        let count =
            sqlx::query_scalar!(r#"select count(*) as "count!" from place"#).fetch_one(&mut *transaction).await?;
        if depth == Depth::Delete {
            sqlx::query!("delete from place_change").execute(&mut *transaction).await?;
            sqlx::query!("delete from listing").execute(&mut *transaction).await?;
            sqlx::query!("delete from place_keyword").execute(&mut *transaction).await?;
            sqlx::query!("delete from place").execute(&mut *transaction).await?;
            sqlx::query!("delete from station_keyword").execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(count)
    }
}
