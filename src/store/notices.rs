//! The notices about full runs: an outbox. Each is written in the transaction of its event, and delivered afterwards.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;

use super::{Error, Store};
use crate::domain::notice::{Channel, Event, UnknownEvent};
use crate::domain::run::RunId;

/// How long a notice is worth delivering.
const EXPIRES_AFTER: TimeDelta = TimeDelta::days(1);

/// Number of attempts, over some five minutes, for which the later notices of a run wait. After that they overtake: a receiver
/// may refuse one kind of notice for ever.
const ATTEMPTS_IN_ORDER: i32 = 6;

/// How long an attempt may take. Until then, no other daemon sends the same notice.
const LEASE: TimeDelta = TimeDelta::minutes(1);

/// The form of instants in the content, as elsewhere in the output of this program.
const RFC_3339: &str = r#"YYYY-MM-DD"T"HH24:MI:SS"Z""#;

/// A notice that is to be sent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Its key in the database.
    pub id: i64,
    /// Identifies the event.
    pub key: String,
    /// What happened.
    pub event: Event,
    /// When.
    pub noted_at: DateTime<Utc>,
    /// The run as it was then: a JSON object.
    pub content: serde_json::Value,
    /// How often it was sent, this time included.
    pub attempts: i32,
    /// Why an earlier attempt failed.
    pub last_error: Option<String>,
}

impl Notice {
    /// Whether it is no longer delivered at this instant.
    #[must_use]
    pub fn is_expired(&self, at: DateTime<Utc>) -> bool {
        self.noted_at <= at - EXPIRES_AFTER
    }
}

/// Notices of the last day that were not delivered, except those that are on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undelivered {
    /// Their number.
    pub count: i64,
    /// Why the last attempt of the newest one failed; `None` if none has.
    pub error: Option<String>,
}

impl Store {
    /// Notes the unfinished full runs that take longer than `late_after`, or twice as long as usual without it. Each run is
    /// noted once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn note_late_runs(&self, late_after: Option<TimeDelta>, now: DateTime<Utc>) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let late = sqlx::query_scalar!(
            "select r.crawl_run_id from crawl_run r
             where r.status in ('running', 'interrupted') and r.scope is null
             and r.started_at < $1::timestamptz - coalesce(make_interval(secs => $2), 2 * (
                 select usual_duration from run_history h where h.crawl_run_id = r.crawl_run_id))
             -- A failed run that is tried again was told already.
             and not exists (
                 select from notice n where n.crawl_run_id = r.crawl_run_id and n.event in ('late', 'failed'))",
            now,
            late_after.map(TimeDelta::as_seconds_f64)
        )
        .fetch_all(&mut *transaction)
        .await?;
        for run in late {
            note(&mut transaction, RunId(run), Some(Event::Late), now).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Takes a notice of these events that is due on a channel. Until the lease is over, nobody else gets it. A later notice of
    /// a run waits for the earlier ones.
    ///
    /// # Errors
    /// When the database fails, or holds an event that this version does not know.
    pub async fn take_notice(
        &self,
        channel: Channel,
        events: &[Event],
        now: DateTime<Utc>,
    ) -> Result<Option<Notice>, Error> {
        let row = sqlx::query!(
            "update notice set attempts = attempts + 1, next_attempt_at = $5 where notice_id = (
                 select n.notice_id from notice n
                 where n.channel = $1 and n.event = any($2) and n.delivered_at is null and n.next_attempt_at <= $3
                 and n.noted_at > $4 and not exists (
                     select from notice e
                     where e.channel = n.channel and e.crawl_run_id = n.crawl_run_id and e.notice_id < n.notice_id
                     and e.event = any($2) and e.delivered_at is null and e.noted_at > $4 and e.attempts < $6)
                 order by n.notice_id limit 1 for update skip locked)
             returning notice_id, key, event, noted_at, content, attempts, error as last_error",
            channel.as_str(),
            &names(events) as &[&str],
            now,
            now - EXPIRES_AFTER,
            now + LEASE,
            ATTEMPTS_IN_ORDER
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let event = row.event.parse();
        let event =
            event.map_err(|UnknownEvent| Error::Unknown { table: "notice", column: "event", value: row.event })?;
        let (id, key, noted_at) = (row.notice_id, row.key, row.noted_at);
        let (attempts, last_error) = (row.attempts, row.last_error);
        Ok(Some(Notice { id, key, event, noted_at, content: row.content, attempts, last_error }))
    }

    /// Records that a receiver has accepted a notice.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notice_delivered(&self, id: i64, now: DateTime<Utc>) -> Result<(), Error> {
        let delivered = sqlx::query!("update notice set delivered_at = $2, error = null where notice_id = $1", id, now);
        delivered.execute(&self.pool).await?;
        Ok(())
    }

    /// Records that an attempt failed, and when the next one is due.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn notice_failed(&self, id: i64, error: &str, next_attempt_at: DateTime<Utc>) -> Result<(), Error> {
        sqlx::query!(
            "update notice set error = $2, next_attempt_at = $3 where notice_id = $1 and delivered_at is null",
            id,
            error,
            next_attempt_at
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The notices of the last day on a channel, of these events, that were not delivered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn undelivered(
        &self,
        channel: Channel,
        events: &[Event],
        now: DateTime<Utc>,
    ) -> Result<Undelivered, Error> {
        let undelivered = sqlx::query_as!(
            Undelivered,
            r#"select count(*) as "count!",
                 (array_agg(error order by notice_id desc) filter (where error is not null))[1] as error
             from notice where channel = $1 and event = any($2) and delivered_at is null and noted_at > $3
             and (error is not null or noted_at < $4)"#,
            channel.as_str(),
            &names(events) as &[&str],
            now - EXPIRES_AFTER,
            now - LEASE
        );
        Ok(undelivered.fetch_one(&self.pool).await?)
    }
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.as_str()).collect()
}

/// Notes what happened to a full run: `event`, or else what its status says. A run that is not finished has no event, and that
/// of a partial-scope run is not noted.
pub(super) async fn note(
    connection: &mut PgConnection,
    run: RunId,
    event: Option<Event>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    sqlx::query!(
        "with about as (
             select r.*, format('%s-run-%s', digest, crawl_run_id) as run_key
             from crawl_run r, (
                 -- Not md5, which some servers forbid.
                 -- With the time, because a restored database gives out the same ids again.
                 select left(encode(sha256((extract(epoch from min(created_at)) || ' ' || extract(epoch from (
                     select started_at from crawl_run where crawl_run_id = $1)))::bytea), 'hex'), 8) as digest
                 from installation) i
             where crawl_run_id = $1 and scope is null),
           told as (
             select *, coalesce($2, case status
                 when 'succeeded' then case
                     when exists (select from notice n
                         where n.crawl_run_id = about.crawl_run_id and n.event in ('failed', 'late')) then 'recovered'
                     when (select before.status from crawl_run before
                         where before.crawl_run_id < about.crawl_run_id and before.scope is null
                         and before.status in ('succeeded', 'partial', 'failed', 'cancelled', 'skipped')
                         and (before.status <> 'skipped' or before.scheduled_for is not null)
                         order by before.crawl_run_id desc limit 1) <> 'succeeded' then 'recovered'
                     else 'success' end
                 when 'running' then null
                 when 'interrupted' then null
                 else status end) as event
             from about)
         insert into notice (key, channel, event, crawl_run_id, noted_at, next_attempt_at, content)
         select format('%s-%s-%s', run_key, resumed_count, event), channel, event, crawl_run_id, $3, $3, jsonb_build_object(
             'run_uuid', left(encode(sha256(run_key::bytea), 'hex'), 32)::uuid, 'crawl_run_id', crawl_run_id,
             'trigger', trigger, 'status', status, 'reason', left(reason, 1000),
             'scheduled_for', to_char(scheduled_for at time zone 'UTC', $4),
             'started_at', to_char(started_at at time zone 'UTC', $4),
             'finished_at', to_char(finished_at at time zone 'UTC', $4), 'host', host, 'coverage', coverage,
             'cells_total', cells_total, 'cells_done', cells_done + cells_split, 'cells_failed', cells_failed,
             'requests', requests, 'places_seen', places_seen, 'places_new', places_new, 'places_changed', places_changed,
             'places_closed', places_closed, 'places_reopened', places_reopened)
         from told cross join unnest(array['ping', 'webhook']) channel
         where event is not null and (channel = 'ping' or event <> 'started')
         -- It may have ended since it was found to be late.
         and (event <> 'late' or status in ('running', 'interrupted'))
         on conflict (key, channel) do nothing",
        run.0,
        event.map(Event::as_str),
        now,
        RFC_3339
    )
    .execute(connection)
    .await?;
    Ok(())
}
