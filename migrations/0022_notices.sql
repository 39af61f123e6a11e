-- Notices about full runs, written in the transaction that they are about and delivered by the daemons afterwards.

create table notice (
    notice_id bigint generated always as identity primary key,
    key text not null,
    channel text not null check (channel in ('ping', 'webhook')),
    event text not null
        check (event in ('started', 'success', 'recovered', 'partial', 'failed', 'cancelled', 'skipped', 'late')),
    crawl_run_id bigint not null references crawl_run on delete cascade,
    noted_at timestamptz not null,
    content jsonb not null,
    attempts integer not null default 0,
    next_attempt_at timestamptz not null,
    delivered_at timestamptz,
    error text,
    unique (key, channel)
);
create index notice_run on notice (crawl_run_id);
create index notice_waiting on notice (channel, next_attempt_at) where delivered_at is null;
comment on table notice is 'Notices about full runs, one row per event and channel. A daemon with the URL of the channel (`notify` in the configuration) delivers them, for a day after the event.';
comment on column notice.notice_id is 'Key; notices of one run are delivered in this order.';
comment on column notice.key is 'Identifies the event. It is sent with every attempt (Idempotency-Key), so a receiver can recognise a notice that it got twice.';
comment on column notice.channel is 'ping (notify.ping_url) or webhook (notify.webhook_url).';
comment on column notice.event is 'started, success, recovered (success after a problem), partial, failed, cancelled, skipped or late. Only pings tell of the start.';
comment on column notice.crawl_run_id is 'The run.';
comment on column notice.noted_at is 'When the event happened.';
comment on column notice.content is 'The run as it was then, as the webhook sends it.';
comment on column notice.attempts is 'How often it was sent, or was about to be sent when the process ended.';
comment on column notice.next_attempt_at is 'Earliest time of the next attempt.';
comment on column notice.delivered_at is 'When the receiver accepted it; null: not yet, or the channel has no receiver.';
comment on column notice.error is 'Why the last attempt failed; null if none has, or after it was delivered.';
