-- Each fact in one place: the content of a place, the medians of the runs, and the settings with which a run is resumed.

-- The body is parsed here, so it means the same whatever the search path of a session is.
create function place_content(place) returns jsonb
language sql stable parallel safe
return jsonb_build_object('name', $1.name, 'category_name', $1.category_name, 'category_group_code', $1.category_group_code,
    'phone', $1.phone, 'address', $1.address, 'road_address', $1.road_address, 'latitude', $1.latitude,
    'longitude', $1.longitude, 'url', $1.url);
comment on function place_content is 'The content of a place: the columns of its row that come from the API, without its id. place_change records them, or those of them that changed.';

alter table crawl_run
    add radius_m integer check (radius_m > 0),
    add page_delay_ms integer check (page_delay_ms >= 0);
comment on column crawl_run.radius_m is 'Radius around a station, in metres; null for a skipped tick. A resumed run keeps it.';
comment on column crawl_run.page_delay_ms is 'Pause between two pages of a cell, in milliseconds; null for a skipped tick. A resumed run keeps it.';
-- Durations were stored as 500ms, 10s or 1m 30s, which are intervals except for the nanoseconds.
update crawl_run set
    radius_m = (settings ->> 'radius_m')::integer,
    page_delay_ms = least(1000 * extract(epoch from
        coalesce(nullif(regexp_replace(settings ->> 'page_delay', '\s*\d+ns', ''), ''), '0s')::interval), 2147483647)::integer,
    settings = settings - '{radius_m,page_delay}'::text[]
where settings ?| '{radius_m,page_delay}';
comment on column crawl_run.settings is 'The other settings with which it was opened, without secrets: {"name": value}; empty for a skipped tick.';

-- The statement that stores a match stores its position as well.
drop trigger copy_position on place_keyword;
drop function copy_position();
comment on column place_keyword.position is 'Copy of the place''s position (longitude, latitude) for the index that place_near searches; a trigger changes it when the place moves.';

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
comment on column run_history.usual_places_new is 'Median new places of the last four full runs of the same coverage, without the very first one.';
comment on column run_history.texts_cut is 'Texts that were stored without their end.';
comment on column run_history.usual_places_changed is 'Median changed places of the last four full runs of the same coverage, without the very first one.';
comment on column run_history.usual_places_closed is 'Median closed places of the last four full runs of the same coverage, without the very first one.';
