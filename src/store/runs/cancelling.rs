//! Cancelling a run: ending an unfinished run for good.

use chrono::{DateTime, Utc};

use crate::domain::run::{RunId, Status};
use crate::store::{Error, Store, doubts};

/// What became of a request to cancel a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// The run had no process, and is cancelled.
    Ended,
    /// A process works on the run, and ends it within some seconds.
    Requested,
    /// The run is not unfinished; its status.
    Finished(Status),
    /// There is no such run.
    Unknown,
}

impl Store {
    /// Cancels a run. `reason` is the sentence that its row gets.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cancel_run(&self, run: RunId, reason: &str, now: DateTime<Utc>) -> Result<Cancelled, Error> {
        let status = sqlx::query_scalar!(
            "update crawl_run set cancel_requested_at = coalesce(cancel_requested_at, $2),
                 cancel_reason = coalesce(cancel_reason, $3)
             where crawl_run_id = $1 and status in ('running', 'interrupted') returning status",
            run.0,
            now,
            reason
        )
        .fetch_optional(&self.pool)
        .await?;
        match status.as_deref() {
            Some("running") => Ok(Cancelled::Requested),
            Some(_) => {
                self.end_cancelled_runs(now).await?;
                Ok(Cancelled::Ended)
            }
            None => Ok(self.status_of(run).await?.map_or(Cancelled::Unknown, Cancelled::Finished)),
        }
    }

    /// The status of a run; `None` if there is no such run.
    ///
    /// # Errors
    /// When the database fails, or holds a value that this version does not know.
    pub async fn status_of(&self, run: RunId) -> Result<Option<Status>, Error> {
        let status = sqlx::query_scalar!("select status from crawl_run where crawl_run_id = $1", run.0);
        let known = |status: String| {
            status.parse().map_err(|()| Error::Unknown { table: "crawl_run", column: "status", value: status })
        };
        status.fetch_optional(&self.pool).await?.map(known).transpose()
    }

    /// Whether a run was cancelled and has no process that could end it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_cancelled_run(&self) -> Result<bool, Error> {
        let is_cancelled = sqlx::query_scalar!(
            r#"select exists (select from crawl_run where status = 'interrupted' and cancel_requested_at is not null)
                 as "is_cancelled!""#
        );
        Ok(is_cancelled.fetch_one(&self.pool).await?)
    }

    /// Ends the runs that were cancelled while no process worked on them, or just when their process stopped.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_cancelled_runs(&self, now: DateTime<Utc>) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let ended = sqlx::query_scalar!(
            "update crawl_run
             set status = 'cancelled', reason = cancel_reason, resume_at = null, finished_at = greatest($1, started_at)
             where status = 'interrupted' and cancel_requested_at is not null returning crawl_run_id",
            now
        )
        .fetch_all(&mut *transaction)
        .await?;
        for run in ended.into_iter().map(RunId) {
            doubts::drop_all(&mut transaction, run).await?;
            super::finishing::announce(&mut transaction, run, now).await?;
        }
        Ok(transaction.commit().await?)
    }
}
