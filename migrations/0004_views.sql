-- What people read.

create view local_info as
select distinct on (s.name, k.query, p.place_id)
    s.name as station_name,
    p.name,
    p.place_id as id,
    k.query as category,
    coalesce(p.road_address, '정보 없음') as road_address,
    coalesce(p.address, '정보 없음') as address,
    coalesce(p.phone, '정보 없음') as phone,
    p.latitude,
    p.longitude,
    (p.closed_at is not null or l.gone_at is not null) as is_deleted,
    p.first_seen_at as created_at,
    p.changed_at as updated_at,
    l.distance_m,
    s.region,
    s.station_id
from listing l
join station s using (station_id)
join keyword k using (keyword_id)
join place p using (place_id)
order by s.name, k.query, p.place_id, (l.gone_at is not null), l.distance_m, s.station_id;
comment on view local_info is 'Places near a station, in the shape that readers of the reference system query. A place comes once per station name and keyword, at its nearest station of that name.';
comment on column local_info.station_name is 'Name of the station, with the suffix 역.';
comment on column local_info.name is 'Name of the place.';
comment on column local_info.id is 'Kakao''s id of the place.';
comment on column local_info.category is 'The keyword that found it.';
comment on column local_info.road_address is 'Address by street; 정보 없음 where unknown.';
comment on column local_info.address is 'Address by lot number; 정보 없음 where unknown.';
comment on column local_info.phone is 'Phone number; 정보 없음 where unknown.';
comment on column local_info.latitude is 'Degrees north (WGS84).';
comment on column local_info.longitude is 'Degrees east (WGS84).';
comment on column local_info.is_deleted is 'Whether the place was found to be gone.';
comment on column local_info.created_at is 'When it was first stored.';
comment on column local_info.updated_at is 'When its content last changed.';
comment on column local_info.distance_m is 'Metres from the station.';
comment on column local_info.region is 'Network of the station.';
comment on column local_info.station_id is 'Key of the station, where the name is not enough.';

create view run_history as
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
        when 'running' then format('working: %s of %s cells done, last sign of life %s', r.cells_done + r.cells_split, r.cells_total,
            to_char(r.heartbeat_at at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS'))
        when 'interrupted' then format('unfinished: %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
        when 'succeeded' then format('all %s cells done', r.cells_total)
        when 'partial' then format('%s of %s cells failed', r.cells_failed, r.cells_total)
        when 'failed' then format('gave up with %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
        else 'not run'
    end || coalesce(': ' || r.reason, '') as verdict
from (select *, coalesce(finished_at, heartbeat_at) - started_at as took from crawl_run) r
left join lateral (
    select
        date_trunc('second', percentile_cont(0.5) within group (order by f.finished_at - f.started_at)) as duration,
        round(percentile_cont(0.5) within group (order by f.requests)) as requests,
        round(percentile_cont(0.5) within group (order by f.places_seen)) as places_seen
    from (
        select finished_at, started_at, requests, places_seen
        from crawl_run
        where crawl_run_id < r.crawl_run_id and scope is null and status in ('succeeded', 'partial')
        order by crawl_run_id desc
        limit 4
    ) f
) usual on true
order by r.crawl_run_id desc;
comment on view run_history is 'The runs, newest first, in Seoul time, next to the median of the four full runs before each.';
comment on column run_history.crawl_run_id is 'Key of the run.';
comment on column run_history.started is 'When it started, in Seoul.';
comment on column run_history.trigger is 'schedule, catch_up or manual.';
comment on column run_history.status is 'running, interrupted, succeeded, partial, failed or skipped.';
comment on column run_history.due is 'The tick that it serves, in Seoul.';
comment on column run_history.finished is 'When it ended, in Seoul.';
comment on column run_history.duration is 'From its start to its end, or to its last sign of life.';
comment on column run_history.cells_total is 'Cells in its ledger.';
comment on column run_history.cells_done is 'Cells whose pages are all stored.';
comment on column run_history.cells_failed is 'Cells that failed twice.';
comment on column run_history.done_percent is 'Share of cells that are done.';
comment on column run_history.cells_truncated is 'Done cells for which the API found more places than it showed.';
comment on column run_history.requests is 'Requests sent.';
comment on column run_history.requests_per_second is 'Requests sent per second of its duration.';
comment on column run_history.retries is 'Requests that repeated a failed one.';
comment on column run_history.throttled is 'Requests that were answered 429.';
comment on column run_history.places_seen is 'Different places that it found.';
comment on column run_history.places_new is 'Places that were not stored before.';
comment on column run_history.places_changed is 'Stored places whose content changed.';
comment on column run_history.usual_duration is 'Median duration of the four full runs before.';
comment on column run_history.usual_requests is 'Median requests of the four full runs before.';
comment on column run_history.usual_places_seen is 'Median places of the four full runs before.';
comment on column run_history.verdict is 'How it went, in one line.';

create view run_failure as
select c.crawl_run_id, c.cell_no, c.status, k.query as keyword, s.name as station_name, s.region, c.chances, c.attempts, c.error
from crawl_cell c
join keyword k using (keyword_id)
join station s using (station_id)
where c.status = 'failed' or c.chances > 0
order by c.crawl_run_id desc, c.cell_no;
comment on view run_failure is 'Cells that failed, and why; with status done or pending, those that failed once.';
comment on column run_failure.crawl_run_id is 'The run.';
comment on column run_failure.cell_no is 'Number of the cell within the run.';
comment on column run_failure.status is 'failed: twice, given up; pending: to be tried again; done: the second try succeeded.';
comment on column run_failure.keyword is 'What was searched for.';
comment on column run_failure.station_name is 'Around which station.';
comment on column run_failure.region is 'Network of that station.';
comment on column run_failure.chances is 'How often it failed.';
comment on column run_failure.attempts is 'Requests sent for it.';
comment on column run_failure.error is 'Why it failed the last time.';

create view station_coverage as
select s.station_id, s.name as station_name, s.region, k.query as keyword, c.radius_m, c.places, c.cut_off,
    c.complete_since, c.complete_at
from station_keyword c
join station s using (station_id)
join keyword k using (keyword_id)
where s.retired_at is null and k.retired_at is null
order by s.name, s.station_id, k.query;
comment on view station_coverage is 'How well each station is covered for each keyword that is in use.';
comment on column station_coverage.station_id is 'Key of the station.';
comment on column station_coverage.station_name is 'Its name.';
comment on column station_coverage.region is 'Its network.';
comment on column station_coverage.keyword is 'What was searched for.';
comment on column station_coverage.radius_m is 'Metres around the station that were last searched.';
comment on column station_coverage.places is 'Places that the last search showed.';
comment on column station_coverage.cut_off is 'Whether the API found more places than it showed.';
comment on column station_coverage.complete_since is 'Since when every search showed all; null where the last one did not.';
comment on column station_coverage.complete_at is 'When a search last showed all.';
