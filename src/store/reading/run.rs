//! One run in full: every column of its row, and the cells that failed.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::clock;
use crate::domain::run::RunId;
use crate::store::{Error, Store};

/// A run with every column and its failed cells.
#[derive(Clone, Debug)]
pub struct FullRun {
    /// The columns of its row, in their order.
    pub columns: Vec<(String, RunValue)>,
    /// Its duration in seconds, as in `run_history`.
    pub duration_s: f64,
    /// What became of it, in one line.
    pub verdict: String,
    /// The cells that failed at least once.
    pub failures: Vec<FailureRow>,
}

/// A value of a run's row.
#[derive(Clone, Debug)]
pub enum RunValue {
    /// An instant.
    Instant(DateTime<Utc>),
    /// Anything else.
    Other(Value),
}

impl From<RunValue> for Value {
    fn from(value: RunValue) -> Self {
        match value {
            RunValue::Instant(instant) => clock::rfc3339(instant).into(),
            RunValue::Other(value) => value,
        }
    }
}

/// A row of the view `run_failure`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "named like the view's columns, which are documented")]
pub struct FailureRow {
    pub cell_no: i32,
    pub status: String,
    pub keyword: String,
    pub area: String,
    pub failures: i16,
    pub attempts: i32,
    pub error: Option<String>,
}

impl Store {
    /// A run in full; `None` if there is no such run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn full_run(&self, run: RunId) -> Result<Option<FullRun>, Error> {
        let row = sqlx::query!(
            r#"select extract(epoch from duration)::float8 as "duration_s!", verdict as "verdict!"
             from run_history where crawl_run_id = $1"#,
            run.0
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let columns = sqlx::query!(
            r#"select field.key as "key!", field.value as "value!", case when a.atttypid = 'timestamptz'::regtype
                     then (field.value #>> '{}')::timestamptz end as instant
             from crawl_run r
             cross join lateral jsonb_each(to_jsonb(r)) as field (key, value)
             join pg_attribute a on a.attrelid = 'crawl_run'::regclass and a.attname = field.key
             where r.crawl_run_id = $1 order by a.attnum"#,
            run.0
        )
        .fetch_all(&self.pool)
        .await?;
        let columns = columns.into_iter().map(|column| {
            let value = column.instant.map_or(RunValue::Other(column.value), RunValue::Instant);
            (column.key, value)
        });
        Ok(Some(FullRun {
            columns: columns.collect(),
            duration_s: row.duration_s,
            verdict: row.verdict,
            failures: self.failures_of(run).await?,
        }))
    }

    async fn failures_of(&self, run: RunId) -> Result<Vec<FailureRow>, Error> {
        Ok(sqlx::query_as!(
            FailureRow,
            r#"select cell_no as "cell_no!", status as "status!", keyword as "keyword!", area as "area!",
                 failures as "failures!", attempts as "attempts!", error
             from run_failure where crawl_run_id = $1 order by cell_no"#,
            run.0
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
