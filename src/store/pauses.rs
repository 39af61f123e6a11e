//! The pauses of the schedule.

use chrono::{DateTime, Utc};

use super::{Error, Store};
use crate::domain::schedule_pause::SchedulePause;

/// Number of pauses that the scheduler reads.
const LOOK_BACK: i64 = 100;

impl Store {
    /// The pauses of the schedule, newest first, without those that never held an instant.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn schedule_pauses(&self) -> Result<Vec<SchedulePause>, Error> {
        let rows = sqlx::query!(
            "select since, least(until, ended_at) as until, reason, paused_by from schedule_pause
             order by schedule_pause_id desc limit $1",
            LOOK_BACK
        )
        .fetch_all(&self.pool)
        .await?;
        let pause = rows.into_iter().map(|row| SchedulePause {
            since: row.since,
            until: row.until,
            reason: row.reason,
            by: row.paused_by,
        });
        Ok(pause.collect())
    }

    /// Pauses the schedule. A pause that has not ended is replaced.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pause_schedule(&self, pause: &SchedulePause) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        end_pause(&mut transaction, &pause.by, pause.since).await?;
        sqlx::query!(
            "insert into schedule_pause (since, until, reason, paused_by) values ($1, $2, $3, $4)",
            pause.since,
            pause.until,
            pause.reason,
            pause.by
        )
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    /// Ends the pause of the schedule; `false` if there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unpause_schedule(&self, by: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let mut connection = self.pool.acquire().await?;
        end_pause(&mut connection, by, now).await
    }
}

/// Ends the pause that has no end yet; whether it still held `now`. One that has ended by itself keeps its end.
async fn end_pause(connection: &mut sqlx::PgConnection, by: &str, now: DateTime<Utc>) -> Result<bool, Error> {
    let ended = sqlx::query_scalar!(
        r#"update schedule_pause set ended_at = greatest(since, least(until, $2)), ended_by = $1
         where ended_at is null returning coalesce(until > $2, true) as "held!""#,
        by,
        now
    )
    .fetch_optional(connection)
    .await?;
    Ok(ended.unwrap_or(false))
}
