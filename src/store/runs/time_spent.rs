//! Where the time of a run went, in its row.

use sqlx::types::Json;

use crate::domain::run::RunId;
use crate::domain::time_spent::TimeSpent;
use crate::store::{Error, Fence, Store};

impl Store {
    /// Records where the time of a run went so far. Nothing is written if another process has taken over the run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_time(&self, fence: Fence, spent: &TimeSpent) -> Result<(), Error> {
        sqlx::query!(
            "update crawl_run set requests_s = $3, pauses_s = $4, database_s = $5, page_delays_s = $6
             where crawl_run_id = $1 and status = 'running' and resumed_count = $2",
            fence.run.0,
            fence.resumed_count,
            spent.requests_s,
            Json(&spent.pauses_s) as _,
            spent.database_s,
            spent.page_delays_s
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Where the time of a run went so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn time_spent(&self, run: RunId) -> Result<TimeSpent, Error> {
        let row = sqlx::query!(
            r#"select requests_s, pauses_s as "pauses_s: Json<std::collections::BTreeMap<String, f64>>", database_s, page_delays_s
             from crawl_run where crawl_run_id = $1"#,
            run.0
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(TimeSpent {
            requests_s: row.requests_s,
            pauses_s: row.pauses_s.0,
            database_s: row.database_s,
            page_delays_s: row.page_delays_s,
        })
    }
}
