//! The requests of a day, shared by every process that uses the same database.

use chrono::{Datelike, NaiveDate};

use super::{Error, Store};

impl Store {
    /// Reserves up to `wanted` requests of a day, as far as the quotas of the day and of its month allow, and returns how
    /// many were granted.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reserve_requests(
        &self,
        day: NaiveDate,
        wanted: u32,
        (daily, monthly): (u32, u32),
    ) -> Result<u32, Error> {
        let month = day.with_day(1).unwrap_or(day);
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("insert into api_usage (day, requests) values ($1, 0) on conflict do nothing", day)
            .execute(&mut *transaction)
            .await?;
        let today = sqlx::query_scalar!("select requests from api_usage where day = $1 for update", day)
            .fetch_one(&mut *transaction)
            .await?;
        let this_month = sqlx::query_scalar!(
            r#"select sum(requests) as "sum!" from api_usage where day between $1 and $2"#,
            month,
            day
        )
        .fetch_one(&mut *transaction)
        .await?;
        let left = (i64::from(daily) - i64::from(today)).min(i64::from(monthly) - this_month);
        let granted = i32::try_from(left.clamp(0, i64::from(wanted))).unwrap_or(0);
        sqlx::query!("update api_usage set requests = requests + $2 where day = $1", day, granted)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(granted.unsigned_abs())
    }

    /// Gives reserved requests back that were not sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn return_requests(&self, day: NaiveDate, unused: u32) -> Result<(), Error> {
        let unused = i32::try_from(unused).unwrap_or(i32::MAX);
        sqlx::query!("update api_usage set requests = greatest(0, requests - $2) where day = $1", day, unused)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The requests sent or reserved on a day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn requests_of(&self, day: NaiveDate) -> Result<u32, Error> {
        let requests = sqlx::query_scalar!("select requests from api_usage where day = $1", day)
            .fetch_optional(&self.pool)
            .await?;
        Ok(requests.unwrap_or(0).unsigned_abs())
    }
}
