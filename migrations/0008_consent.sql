-- What a run retired, what it waits for and what it left out; places that were purged.

alter table crawl_run
    add retired jsonb,
    add retirement_held_back text,
    add paused_since timestamptz,
    add paused_until timestamptz,
    add pause_reason text,
    add rejected_example text,
    add check (num_nonnulls(paused_since, pause_reason) in (0, 2)),
    add check (paused_until is null or paused_since is not null);
comment on column crawl_run.retired is 'What this run retired because the configuration or the station file no longer has it: {"stations": [names], "keywords": [queries], "radius_m": {"from", "to"}, "rows": rows that left local_info}; null where it retired nothing.';
comment on column crawl_run.retirement_held_back is 'Which stations and keywords that the configuration no longer has were crawled all the same, because retiring them would take too much away; null where nothing was held back.';
comment on column crawl_run.paused_since is 'When the pause began in which no request is sent; null while requests are sent.';
comment on column crawl_run.paused_until is 'When the next request is tried; null where it is being tried right now.';
comment on column crawl_run.pause_reason is 'Why it is paused: the last answer of the API, or what it waits for.';
comment on column crawl_run.documents_rejected is 'Documents that were not stored because they had no id or no position, or contradicted the question.';
comment on column crawl_run.rejected_example is 'One of the rejected documents and why it was rejected; null where there is none.';
comment on column crawl_run.places_seen is 'Different places that it has found so far.';
comment on column crawl_run.status is 'running, interrupted (will be resumed), succeeded (every cell done), partial (finished, but cells failed, too many documents were rejected, or closings or retirements were held back), failed (cannot go on), skipped (tick not run).';

-- A purged place leaves one row without content, so that those who follow the changes learn of it.
alter table place_change
    drop constraint place_change_place_id_fkey,
    drop constraint place_change_kind_check,
    drop constraint place_change_check1,
    drop constraint place_change_check2,
    alter crawl_run_id drop not null,
    alter latitude drop not null,
    alter longitude drop not null,
    add check (kind in ('opened', 'changed', 'closed', 'reopened', 'purged')),
    add check ((before is null) = (kind in ('opened', 'reopened', 'purged'))),
    add check ((after is null) = (kind in ('closed', 'reopened', 'purged'))),
    add check ((latitude is null) = (kind = 'purged')),
    add check ((longitude is null) = (kind = 'purged')),
    add check ((crawl_run_id is null) = (kind = 'purged'));
comment on column place_change.place_id is 'The place; no foreign key, because a purged place is no longer stored.';
comment on column place_change.crawl_run_id is 'The run that found out; no foreign key, because old runs are deleted. Null for a purge.';
comment on column place_change.kind is 'opened (new where the area was complete before), changed (different content), closed (searched for and not found), reopened (found again), purged (deleted by `sanggwond purge`, with its content and its history).';
comment on column place_change.latitude is 'Degrees north (WGS84), where the place was then; of a move, where it is now; null for a purge.';
comment on column place_change.longitude is 'Degrees east (WGS84), where the place was then; of a move, where it is now; null for a purge.';

create or replace view run_history as
select
    r.crawl_run_id,
    r.started_at at time zone 'Asia/Seoul' as started,
    r.trigger,
    r.status,
    r.scheduled_for at time zone 'Asia/Seoul' as due,
    r.finished_at at time zone 'Asia/Seoul' as finished,
    date_trunc('second', r.took) as duration,
    r.cells_total,
    r.cells_done,
    r.cells_failed,
    round(100.0 * (r.cells_done + r.cells_split) / nullif(r.cells_total, 0), 1) as done_percent,
    r.cells_truncated,
    r.requests,
    round((r.requests / nullif(extract(epoch from r.took), 0))::numeric, 1) as requests_per_second,
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
            || coalesce(
                format('waiting since %s', to_char(r.paused_since at time zone 'Asia/Seoul', 'HH24:MI:SS'))
                    || coalesce(format(', next request at %s',
                        to_char(r.paused_until at time zone 'Asia/Seoul', 'HH24:MI:SS')), '')
                    || format(' (%s)', r.pause_reason),
                format('last heartbeat %s', to_char(r.heartbeat_at at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS')))
        when 'interrupted' then format('unfinished: %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
        when 'succeeded' then format('all %s cells done', r.cells_total)
        when 'partial' then case r.cells_failed
            when 0 then format('all %s cells done', r.cells_total)
            else format('%s of %s cells failed', r.cells_failed, r.cells_total)
        end
        when 'failed' then format('abandoned with %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
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
    r.pause_reason
from (select *, coalesce(finished_at, heartbeat_at) - started_at as took from crawl_run) r
left join lateral (
    select
        date_trunc('second', percentile_cont(0.5) within group (order by f.finished_at - f.started_at)) as duration,
        round(percentile_cont(0.5) within group (order by f.requests)) as requests,
        round(percentile_cont(0.5) within group (order by f.places_seen)) as places_seen
    from (
        select finished_at, started_at, requests, places_seen
        from crawl_run full_run
        where crawl_run_id < r.crawl_run_id and coverage = r.coverage and scope is null
        and status in ('succeeded', 'partial')
        -- The very first full run stores everything for the first time: it is not typical.
        and exists (
            select from crawl_run earlier
            where earlier.crawl_run_id < full_run.crawl_run_id and earlier.coverage = r.coverage
            and earlier.scope is null and earlier.status in ('succeeded', 'partial'))
        order by crawl_run_id desc
        limit 4
    ) f
) usual on r.scope is null
order by r.crawl_run_id desc;
comment on view run_history is 'The runs, newest first, in Seoul time. Full runs stand next to the median of the four full runs of the same coverage before them, without the very first one.';
comment on column run_history.usual_duration is 'Median duration of the last four full runs of the same coverage, without the very first one.';
comment on column run_history.usual_requests is 'Median requests of the last four full runs of the same coverage, without the very first one.';
comment on column run_history.usual_places_seen is 'Median places of the last four full runs of the same coverage, without the very first one.';
comment on column run_history.coverage is 'station: one search around every station; complete: every place.';
comment on column run_history.scope is 'The stations and keywords that a run by hand was limited to; null: everything.';
comment on column run_history.documents_rejected is 'Documents that were not stored.';
comment on column run_history.rejected_example is 'One of these documents and why it was rejected.';
comment on column run_history.retired is 'What the run retired; null where it retired nothing.';
comment on column run_history.paused_since is 'When the pause began in which no request is sent, in Seoul; null while requests are sent.';
comment on column run_history.paused_until is 'When the next request is tried, in Seoul.';
comment on column run_history.pause_reason is 'Why it is paused.';
