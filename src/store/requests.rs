//! Requests: runs that somebody asked the daemons for.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{Error, Store};
use crate::domain::run::{RequestId, RequestedScope, RunId, RunRequest, Scope};

impl Store {
    /// Requests a run from the daemons.
    ///
    /// # Errors
    /// When the role may not call `request_run`, or the database fails.
    pub async fn request_run(&self, scope: &RequestedScope, by: &str) -> Result<RequestId, Error> {
        let id =
            sqlx::query_scalar!(r#"select request_run($1, $2) as "id!""#, Json(scope) as Json<&RequestedScope>, by);
        Ok(RequestId(id.fetch_one(&self.pool).await?))
    }

    /// Whether a request waits for an answer.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_request(&self) -> Result<bool, Error> {
        let waits =
            sqlx::query_scalar!(r#"select exists (select from run_request where crawl_run_id is null) as "waits!""#);
        Ok(waits.fetch_one(&self.pool).await?)
    }

    /// The oldest request that is not answered. Those that are older than a day, by the clock of the database, are recorded as
    /// skipped first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_request(&self, host: &str, now: DateTime<Utc>) -> Result<Option<RunRequest>, Error> {
        loop {
            let row = sqlx::query!(
                r#"select run_request_id, scope as "scope: Json<RequestedScope>", requested_by,
                     clock_timestamp() - requested_at > interval '1 day' as "has_expired!"
                 from run_request where crawl_run_id is null order by run_request_id limit 1"#
            )
            .fetch_optional(&self.pool)
            .await?;
            let Some(row) = row else { return Ok(None) };
            let request = RunRequest { id: RequestId(row.run_request_id), scope: row.scope.0, by: row.requested_by };
            if !row.has_expired {
                return Ok(Some(request));
            }
            let reason = format!("requested by {}; no daemon could start it within a day", request.by);
            match self.reject_request(&request, &reason, host, now).await {
                // Another daemon has recorded it.
                Ok(()) | Err(Error::Superseded(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers a request with a skipped row of the history, because no run is started for it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reject_request(
        &self,
        request: &RunRequest,
        reason: &str,
        host: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let RunRequest { id, scope, .. } = request;
        let scope = Scope { stations: scope.stations.clone(), keywords: scope.keywords.clone(), failed_cells_of: None };
        let mut transaction = self.pool.begin().await?;
        let run = sqlx::query_scalar!(
            "insert into crawl_run (trigger, status, reason, coverage, scope, started_at, finished_at, heartbeat_at, version,
                 host)
             values ('request', 'skipped', $1, 'station', $2, $3, $3, $3, $4, $5) returning crawl_run_id",
            reason,
            (!scope.is_everything()).then_some(Json(&scope)) as Option<Json<&Scope>>,
            now,
            env!("CARGO_PKG_VERSION"),
            host
        )
        .fetch_one(&mut *transaction)
        .await?;
        answer(&mut transaction, *id, RunId(run)).await?;
        Ok(transaction.commit().await?)
    }

    /// Answers a request with a run that exists.
    ///
    /// # Errors
    /// When the request is answered already or the database fails.
    pub async fn answer_request(&self, request: RequestId, run: RunId) -> Result<(), Error> {
        answer(&mut *self.pool.acquire().await?, request, run).await
    }
}

/// Records which run answers a request. It fails if the request is answered already, so that no request starts two runs.
pub(super) async fn answer(connection: &mut PgConnection, request: RequestId, run: RunId) -> Result<(), Error> {
    let answered = sqlx::query!(
        "update run_request set crawl_run_id = $2 where run_request_id = $1 and crawl_run_id is null",
        request.0,
        run.0
    )
    .execute(connection)
    .await?;
    if answered.rows_affected() == 1 { Ok(()) } else { Err(Error::Superseded(run)) }
}
