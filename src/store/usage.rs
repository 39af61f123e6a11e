//! Requests per day, counted for all processes that use the same database.

use chrono::NaiveDate;
use sqlx::PgConnection;

use super::{Error, Store};
use crate::domain::quota::{Quotas, Spent, Usage, first_of_month};

impl Store {
    /// Reserves up to `wanted` requests on a day, as far as the quotas allow. Returns how many were granted, at least one, or
    /// the quota that is used up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reserve_requests(
        &self,
        day: NaiveDate,
        wanted: u32,
        quotas: Quotas,
    ) -> Result<Result<u32, Spent>, Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query!("insert into api_usage (day, requests) values ($1, 0) on conflict do nothing", day)
            .execute(&mut *transaction)
            .await?;
        sqlx::query!("select from api_usage where day = $1 for update", day).fetch_one(&mut *transaction).await?;
        let used = usage(&mut transaction, day).await?;
        if let Some(spent) = quotas.spent(used, day) {
            return Ok(Err(spent));
        }
        let granted = i32::try_from(quotas.left(used).min(wanted.into())).unwrap_or(i32::MAX);
        sqlx::query!("update api_usage set requests = requests + $2 where day = $1", day, granted)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Ok(granted.unsigned_abs()))
    }

    /// Returns reserved requests that were not sent.
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

    /// The requests sent or reserved on a day, and in its month until then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn usage(&self, day: NaiveDate) -> Result<Usage, Error> {
        usage(&mut *self.pool.acquire().await?, day).await
    }
}

pub(super) async fn usage(connection: &mut PgConnection, day: NaiveDate) -> Result<Usage, Error> {
    let used = sqlx::query_as!(
        Usage,
        r#"select coalesce(sum(requests) filter (where day = $2), 0) as "today!", coalesce(sum(requests), 0) as "this_month!"
         from api_usage where day between $1 and $2"#,
        first_of_month(day),
        day
    );
    Ok(used.fetch_one(connection).await?)
}
