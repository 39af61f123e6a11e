//! One run in full: whatever its row has, and the cells that failed.

use serde::Serialize;

use crate::domain::run::RunId;
use crate::store::{Error, Store};

/// All that is known of a run.
#[derive(Clone, Debug)]
pub struct FullRun {
    /// The columns of its row but the settings, in their order, instants in Seoul; null where there is no value.
    pub columns: Vec<(String, Option<String>)>,
    /// How it went, in one line.
    pub verdict: String,
    /// Its row.
    pub row: serde_json::Value,
    /// The cells that failed at least once.
    pub failures: Vec<FailureRow>,
}

/// A row of the view `run_failure`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "named like the view's columns, which are documented")]
pub struct FailureRow {
    pub cell_no: i32,
    pub status: String,
    pub keyword: String,
    pub area: String,
    pub chances: i16,
    pub attempts: i32,
    pub error: Option<String>,
}

impl Store {
    /// A run in full; `None` where there is none of this key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn full_run(&self, run: RunId) -> Result<Option<FullRun>, Error> {
        let row = sqlx::query!(
            r#"select to_jsonb(r) as "row!", h.verdict as "verdict!"
             from crawl_run r join run_history h using (crawl_run_id) where r.crawl_run_id = $1"#,
            run.0
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let columns = sqlx::query!(
            r#"select field.key as "key!", case when a.atttypid = 'timestamptz'::regtype
                     then to_char(field.value::timestamptz at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS')
                     else field.value end as value
             from crawl_run r cross join lateral json_each_text(row_to_json(r)) with ordinality as field (key, value, rank)
             join pg_attribute a on a.attrelid = 'crawl_run'::regclass and a.attname = field.key
             where r.crawl_run_id = $1 and field.key <> 'settings' order by field.rank"#,
            run.0
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Some(FullRun {
            columns: columns.into_iter().map(|column| (column.key, column.value)).collect(),
            verdict: row.verdict,
            row: row.row,
            failures: self.failures_of(run).await?,
        }))
    }

    async fn failures_of(&self, run: RunId) -> Result<Vec<FailureRow>, Error> {
        Ok(sqlx::query_as!(
            FailureRow,
            r#"select cell_no as "cell_no!", status as "status!", keyword as "keyword!", area as "area!",
                 chances as "chances!", attempts as "attempts!", error
             from run_failure where crawl_run_id = $1 order by cell_no"#,
            run.0
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
