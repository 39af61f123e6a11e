-- For readers: the history with all that a run counts, and the places near a position.

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
        when 'running' then format('working: %s of %s cells done, last sign of life %s', r.cells_done + r.cells_split, r.cells_total,
            to_char(r.heartbeat_at at time zone 'Asia/Seoul', 'YYYY-MM-DD HH24:MI:SS'))
        when 'interrupted' then format('unfinished: %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
        when 'succeeded' then format('all %s cells done', r.cells_total)
        when 'partial' then case r.cells_failed
            when 0 then format('all %s cells done', r.cells_total)
            else format('%s of %s cells failed', r.cells_failed, r.cells_total)
        end
        when 'failed' then format('gave up with %s of %s cells done', r.cells_done + r.cells_split, r.cells_total)
        else 'not run'
    end || coalesce(': ' || r.reason, '') as verdict,
    r.cells_split,
    r.places_missed,
    r.places_closed,
    r.places_reopened
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
comment on column run_history.cells_split is 'Cells that were divided into smaller ones.';
comment on column run_history.places_missed is 'Places that a complete search should have found and did not, as far as that counts.';
comment on column run_history.places_closed is 'Places that it closed.';
comment on column run_history.places_reopened is 'Closed places that it found again.';

-- A search for one keyword around a position needs both in one index, and that needs both in one row. Triggers keep the
-- copy of the position, so that whoever writes need not know of it. An update that only stamps changes nothing that is
-- indexed.
alter table place_keyword add position point;
update place_keyword k set position = point(p.longitude, p.latitude) from place p where p.place_id = k.place_id;
alter table place_keyword alter position set not null;
comment on column place_keyword.position is 'Copy of the place''s position (longitude, latitude), kept by triggers, for the index that place_near searches.';

create function copy_position() returns trigger
language plpgsql
as $$
begin
    new.position := (select point(p.longitude, p.latitude) from sanggwond.place p where p.place_id = new.place_id);
    return new;
end
$$;
comment on function copy_position is 'Fills place_keyword.position where a keyword finds a place.';
create trigger copy_position before insert on place_keyword for each row when (new.position is null)
execute function copy_position();

create function move_position() returns trigger
language plpgsql
as $$
begin
    update sanggwond.place_keyword set position = point(new.longitude, new.latitude) where place_id = new.place_id;
    return null;
end
$$;
comment on function move_position is 'Brings place_keyword.position after a place that has moved.';
create trigger move_position after update of latitude, longitude on place for each row
when ((old.latitude, old.longitude) is distinct from (new.latitude, new.longitude)) execute function move_position();

-- GiST has no operators for numbers without an extension; a range of one number does the same.
create index place_keyword_position on place_keyword using gist (int4range(keyword_id, keyword_id, '[]'), position)
where gone_at is null;

-- Deleting a place asks the listings for it, and so does who looks from a place to its stations.
create index listing_place on listing (place_id);

create function metres_between(latitude double precision, longitude double precision, other_latitude double precision,
    other_longitude double precision) returns double precision
language sql immutable parallel safe
return sqrt(
    power((other_latitude - latitude) * (111132.954 - 559.822 * cosd(latitude + other_latitude)
        + 1.175 * cosd(2 * (latitude + other_latitude))), 2)
    + power((other_longitude - longitude) * (111412.877 * cosd((latitude + other_latitude) / 2)
        - 93.504 * cosd(1.5 * (latitude + other_latitude)) + 0.118 * cosd(2.5 * (latitude + other_latitude))), 2));
comment on function metres_between is 'Metres on the WGS84 ellipsoid between two positions in degrees, which must not be farther apart than some tens of kilometres.';

create function box_around(latitude double precision, longitude double precision, reach_m double precision) returns box
language sql immutable parallel safe
return (
    select box(point(longitude - width, latitude - height), point(longitude + width, latitude + height))
    from (select (reach_m + 0.01) / 110574 as height) h,
        -- A degree of longitude is shortest on the side that is farther from the equator.
        lateral (select (reach_m + 0.01) / (111319 * cosd(least(abs(latitude) + height, 89.9))) as width) w
);
comment on function box_around is 'A box of degrees (longitude, latitude) that holds all that lies within so many metres of a position.';

create type near_place as (
    place_id text,
    name text,
    category_name text,
    phone text,
    address text,
    road_address text,
    latitude double precision,
    longitude double precision,
    url text,
    distance_m integer
);
comment on type near_place is 'A row of place_near: an open place and how far it is.';
comment on column near_place.place_id is 'Kakao''s id.';
comment on column near_place.name is 'Name on the sign.';
comment on column near_place.category_name is 'Category path, such as 음식점 > 한식.';
comment on column near_place.phone is 'Phone number as displayed.';
comment on column near_place.address is 'Address by lot number.';
comment on column near_place.road_address is 'Address by street.';
comment on column near_place.latitude is 'Degrees north (WGS84).';
comment on column near_place.longitude is 'Degrees east (WGS84).';
comment on column near_place.url is 'Page on Kakao Map.';
comment on column near_place.distance_m is 'Whole metres on the WGS84 ellipsoid from the position that was asked for, rounded down.';

-- Degrees are not square: the nearest by degrees are not the nearest by metres. But as many places as are asked for, whichever
-- they are, tell how far the last of the nearest can be at most; so these are looked up first, and then all that lie in
-- the box of that size are measured. Each call is planned for its own values, because a plan for any
-- keyword would read whole tables; and without parallel workers, which take longer to start than this takes.
create function place_near(latitude double precision, longitude double precision, radius_m integer default 1000,
    keyword text default null, max_results integer default 20) returns setof near_place
language plpgsql stable parallel safe rows 20
set search_path = sanggwond, pg_temp
set plan_cache_mode = force_custom_plan
set max_parallel_workers_per_gather = 0
as $$
declare
    here constant point := point(longitude, latitude);
    wanted integer;
    found_count bigint;
    reach double precision;
begin
    if latitude is null or longitude is null or not (latitude between -90 and 90 and longitude between -180 and 180) then
        raise exception using errcode = '22023', message = format('place_near: %s, %s is no position; latitude comes first, in degrees',
            coalesce(latitude::text, 'null'), coalesce(longitude::text, 'null'));
    elsif radius_m is null or radius_m not between 0 and 20000 then
        raise exception using errcode = '22023',
            message = format('place_near: the radius is %s; it must be 0 to 20000 metres', coalesce(radius_m::text, 'null'));
    elsif max_results is null or max_results < 0 then
        raise exception using errcode = '22023',
            message = format('place_near: %s results were asked for; it must be a number from 0 on', coalesce(max_results::text, 'null'));
    end if;
    if keyword is not null then
        select keyword_id into wanted from keyword k where k.query = place_near.keyword;
        if wanted is null then
            return;
        end if;
    end if;

    select count(*), max(metres_between(latitude, longitude, position[1], position[0])) into found_count, reach
    from (
        (select k.position
         from place_keyword k join place p using (place_id)
         where wanted is not null and int4range(k.keyword_id, k.keyword_id, '[]') @> wanted and k.gone_at is null
         and p.closed_at is null and k.position <@ box_around(place_near.latitude, place_near.longitude, radius_m)
         order by k.position <-> here
         limit max_results)
        union all
        (select point(p.longitude, p.latitude)
         from place p
         where wanted is null and p.closed_at is null
         and exists (select from place_keyword k where k.place_id = p.place_id and k.gone_at is null)
         and point(p.longitude, p.latitude) <@ box_around(place_near.latitude, place_near.longitude, radius_m)
         order by point(p.longitude, p.latitude) <-> here
         limit max_results)
    ) near;
    reach := case when found_count < max_results then radius_m else least(radius_m, reach) end;

    return query
    select p.place_id, p.name, p.category_name, p.phone, p.address, p.road_address, p.latitude, p.longitude, p.url,
        floor(near.metres)::integer
    from (
        select place_id, metres_between(place_near.latitude, place_near.longitude, position[1], position[0]) as metres
        from (
            select k.place_id, k.position
            from place_keyword k
            where wanted is not null and int4range(k.keyword_id, k.keyword_id, '[]') @> wanted and k.gone_at is null
            and k.position <@ box_around(place_near.latitude, place_near.longitude, reach)
            union all
            select p.place_id, point(p.longitude, p.latitude)
            from place p
            where wanted is null and p.closed_at is null
            and exists (select from place_keyword k where k.place_id = p.place_id and k.gone_at is null)
            and point(p.longitude, p.latitude) <@ box_around(place_near.latitude, place_near.longitude, reach)
        ) candidate
    ) near
    join place p using (place_id)
    where near.metres <= radius_m and p.closed_at is null
    order by near.metres, p.place_id
    limit max_results;
end
$$;
comment on function place_near is 'The open places within a radius of a position that a keyword still finds (null: any keyword), nearest first. A radius that is null, negative or above 20000 m, a number of results that is null or negative, and a position that is none are errors; a keyword that is unknown finds nothing.';
