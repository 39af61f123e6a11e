//! Retention: deletes old runs and their cells.

use std::num::NonZeroU32;

use crate::store::{Error, Store};

/// Number of full runs of each coverage whose cells are kept.
const KEPT_LEDGERS: i64 = 8;

impl Store {
    /// Deletes the cells of all but the newest full runs, and the rows of all but the newest `keep_runs` runs. Unfinished runs
    /// are kept, and so are the last ten ticks, which the scheduler needs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_old_runs(&self, keep_runs: NonZeroU32) -> Result<(), Error> {
        sqlx::query!(
            "delete from crawl_cell using crawl_run old
             where old.crawl_run_id = crawl_cell.crawl_run_id and old.status not in ('running', 'interrupted')
             and old.crawl_run_id < (
                 select crawl_run_id from crawl_run
                 where scope is null and status <> 'skipped' and coverage = old.coverage
                 order by crawl_run_id desc offset $1::bigint - 1 limit 1)",
            KEPT_LEDGERS
        )
        .execute(&self.pool)
        .await?;
        sqlx::query!(
            "delete from crawl_run where status not in ('running', 'interrupted')
             and (scheduled_for is null or scheduled_for <> all (
                 select scheduled_for from crawl_run where scheduled_for is not null order by scheduled_for desc limit 10))
             and crawl_run_id < (select crawl_run_id from crawl_run order by crawl_run_id desc offset $1::bigint - 1 limit 1)",
            i64::from(keep_runs.get())
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
