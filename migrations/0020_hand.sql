-- What an operator does: cancel a run, pause the schedule, request a run.

alter table crawl_run
    drop constraint crawl_run_trigger_check,
    add constraint crawl_run_trigger_check check (trigger in ('schedule', 'catch_up', 'manual', 'request')),
    drop constraint crawl_run_status_check,
    add constraint crawl_run_status_check
        check (status in ('running', 'interrupted', 'succeeded', 'partial', 'failed', 'cancelled', 'skipped')),
    add cancel_requested_at timestamptz,
    add cancel_reason text;
comment on column crawl_run.trigger is 'schedule: started at its tick, at most 60 s late; catch_up: started later; manual: started with `sanggwond crawl`; request: a daemon started it because of a row of run_request.';
comment on column crawl_run.status is 'running; interrupted (stopped early, will be resumed); succeeded (every cell done); partial (finished, but cells failed, too many documents were rejected, or closings, changes or retirements were held back); failed (could not continue); cancelled (ended by `sanggwond cancel`); skipped (a tick or a request that was not run).';
comment on column crawl_run.scope is 'Limits of the run: {"stations": [names], "keywords": [queries]}, an empty list meaning all; with "failed_cells_of": crawl_run_id it reads only the failed cells of that run; null: a full run.';
comment on column crawl_run.cancel_requested_at is 'When `sanggwond cancel` was called for the run; null: never. The run may have ended before its process knew.';
comment on column crawl_run.cancel_reason is 'Who called `sanggwond cancel` for the run, and why; null: nobody.';

create table schedule_pause (
    schedule_pause_id bigint generated always as identity primary key,
    since timestamptz not null,
    until timestamptz check (until > since),
    reason text,
    paused_by text not null,
    ended_at timestamptz check (ended_at >= since),
    ended_by text
);
create unique index schedule_pause_open on schedule_pause ((true)) where ended_at is null;
comment on table schedule_pause is 'A time in which no run starts by itself: its ticks are skipped. At most one row has no ended_at.';
comment on column schedule_pause.schedule_pause_id is 'Key; a later pause has a larger one.';
comment on column schedule_pause.since is 'When it began.';
comment on column schedule_pause.until is 'When it ends by itself; null: only `sanggwond unpause` ends it.';
comment on column schedule_pause.reason is 'Why; null: no reason was given.';
comment on column schedule_pause.paused_by is 'Who paused the schedule: user@host.';
comment on column schedule_pause.ended_at is 'When somebody ended it, or replaced it by another pause; null otherwise.';
comment on column schedule_pause.ended_by is 'Who ended it: user@host; null where ended_at is null.';

create table run_request (
    run_request_id bigint generated always as identity primary key,
    scope jsonb not null,
    requested_at timestamptz not null,
    requested_by text not null,
    crawl_run_id bigint references crawl_run on delete cascade
);
create index run_request_run on run_request (crawl_run_id);
comment on table run_request is 'A run that somebody requested from the daemons. A daemon answers it with a run of its own configuration, or with a skipped row if it cannot be run or is a day old.';
comment on column run_request.run_request_id is 'Key; requests are answered in this order.';
comment on column run_request.scope is 'What to crawl: {"stations": [names], "keywords": [queries]}, an empty list meaning all, or {"failed": true}, the failed cells of the last full run.';
comment on column run_request.requested_at is 'When it was requested.';
comment on column run_request.requested_by is 'Who requested it: user@host where `sanggwond request` did, and the database role.';
comment on column run_request.crawl_run_id is 'The row of the history that answers it; null while it waits.';

-- Lets a role without write access request a run; deploy/roles.sql grants it.
create function request_run(scope jsonb default '{}', requested_by text default null) returns bigint
language plpgsql security definer
set search_path = pg_catalog, sanggwond, pg_temp
as $$
declare
    id bigint;
begin
    if jsonb_typeof(scope) is distinct from 'object'
        or scope - '{stations,keywords,failed}'::text[] <> '{}'
        or jsonb_typeof(coalesce(scope -> 'stations', '[]')) <> 'array'
        or jsonb_typeof(coalesce(scope -> 'keywords', '[]')) <> 'array'
        or jsonb_typeof(coalesce(scope -> 'failed', 'true')) <> 'boolean'
        or exists (
            select from jsonb_each(scope) as field (key, value)
            cross join jsonb_array_elements(case jsonb_typeof(value) when 'array' then value else '[]' end) as item
            where jsonb_typeof(item) <> 'string')
    then
        raise invalid_parameter_value using message =
            'a request is an object such as {"stations": ["강남역"], "keywords": ["카페"]}, {"failed": true}, or {} for a full run';
    end if;
    if (scope -> 'failed') = 'true'
        and (scope -> 'stations' <> '[]' or scope -> 'keywords' <> '[]')
    then
        raise invalid_parameter_value using message = '"failed" cannot be combined with "stations" or "keywords"';
    end if;
    insert into run_request (scope, requested_at, requested_by)
    values (scope, clock_timestamp(), concat_ws(', role ', left(requested_by, 200), session_user)) returning run_request_id into id;
    return id;
end
$$;
revoke execute on function request_run from public;
comment on function request_run is 'Requests a run from the daemons, and returns the key of the request. {"stations": ["강남역"], "keywords": ["카페"]} limits it, {"failed": true} repeats the failed cells of the last full run, {} is a full run.';

create or replace view run_history as
select
    r.crawl_run_id,
    r.started_at at time zone 'Asia/Seoul' as started,
    r.trigger,
    r.status,
    r.scheduled_for at time zone 'Asia/Seoul' as due,
    r.finished_at at time zone 'Asia/Seoul' as finished,
    date_trunc('second', took) as duration,
    r.cells_total,
    r.cells_done,
    r.cells_failed,
    round(100.0 * (r.cells_done + r.cells_split) / nullif(r.cells_total, 0), 1) as done_percent,
    r.cells_truncated,
    r.requests,
    round((r.requests / nullif(extract(epoch from took), 0))::numeric, 1) as requests_per_second,
    r.retries,
    r.throttled,
    r.places_seen,
    r.places_new,
    r.places_changed,
    usual.duration as usual_duration,
    usual.requests as usual_requests,
    usual.places_seen as usual_places_seen,
    case r.status
        when 'running' then format('%s of %s cells done, ', r.cells_done + r.cells_split, r.cells_total)
            || case
                when r.paused_since is null
                then format('last heartbeat %s', to_char(r.heartbeat_at at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS'))
                else format('waiting since %s', to_char(r.paused_since at time zone 'Asia/Seoul', 'HH24:MI:SS'))
                    || case when r.paused_until is null then ''
                        else format(', next request at %s', to_char(r.paused_until at time zone 'Asia/Seoul', 'HH24:MI:SS')) end
                    || format(' (%s)', r.pause_reason)
            end
        when 'interrupted' then format('unfinished: %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
        when 'succeeded' then format('all %s cells done', r.cells_total)
        when 'partial' then case r.cells_failed
            when 0 then format('all %s cells done', r.cells_total)
            else format('%s of %s cells failed', r.cells_failed, r.cells_total)
        end
        when 'failed' then format('abandoned with %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
        when 'cancelled' then format('cancelled with %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
        else 'not run'
    end || coalesce(': ' || r.reason, '') as verdict,
    r.cells_split,
    r.places_missed,
    r.places_closed,
    r.places_reopened,
    r.coverage,
    r.scope,
    r.documents_rejected,
    r.rejected_example,
    r.retired,
    r.paused_since at time zone 'Asia/Seoul' as paused_since,
    r.paused_until at time zone 'Asia/Seoul' as paused_until,
    r.pause_reason,
    usual.places_new as usual_places_new,
    usual.places_changed as usual_places_changed,
    usual.places_closed as usual_places_closed,
    r.texts_cut
from crawl_run r
cross join lateral (select coalesce(r.finished_at, r.heartbeat_at) - r.started_at as took) until_now
left join lateral (
    select
        date_trunc('second', percentile_cont(0.5) within group (order by f.finished_at - f.started_at)) as duration,
        round(percentile_cont(0.5) within group (order by f.requests)) as requests,
        round(percentile_cont(0.5) within group (order by f.places_seen)) as places_seen,
        percentile_cont(0.5) within group (order by f.places_new) as places_new,
        percentile_cont(0.5) within group (order by f.places_changed) as places_changed,
        percentile_cont(0.5) within group (order by f.places_closed) as places_closed
    from (
        select finished_at, started_at, requests, places_seen, places_new, places_changed, places_closed
        from crawl_run full_run
        where crawl_run_id < r.crawl_run_id and coverage = r.coverage and scope is null
        and status in ('succeeded', 'partial')
        -- The very first full run stores everything for the first time, so it is not typical.
        and exists (
            select from crawl_run earlier
            where earlier.crawl_run_id < full_run.crawl_run_id and earlier.coverage = r.coverage
            and earlier.scope is null and earlier.status in ('succeeded', 'partial'))
        order by crawl_run_id desc
        limit 4
    ) f
) usual on r.scope is null
order by r.crawl_run_id desc;
comment on column run_history.trigger is 'schedule (at its tick), catch_up (later), manual (`sanggwond crawl`) or request (`sanggwond request`).';
comment on column run_history.status is 'running, interrupted, succeeded, partial, failed, cancelled or skipped; crawl_run.status describes them.';
