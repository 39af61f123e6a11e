-- Nobody writes until the end: a writer that waited inside the function of before would go on with it.
lock table station, keyword, place, listing in share row exclusive mode;

-- place_feed reads one table in the order of an index. To look a page of a thousand places up in `place` and `listing` took four
-- times as long, of which the lookups alone, without sorting the names, were more than half.

create function give_versions(changed text[]) returns void
language plpgsql
set search_path = pg_catalog, sanggwond, pg_temp
-- One plan for few places and for many: a lookup for each.
set plan_cache_mode = force_generic_plan
set max_parallel_workers_per_gather = 0
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
begin
    -- The row is updated and not only locked: a transaction whose snapshot is older than the last versions (repeatable read,
    -- serializable) would otherwise follow the largest one that it sees, which a follower may already have read past. So it
    -- fails, as such transactions must be ready to.
    update place_version_lock set only_one = true;
    insert into place_version as known (version, place_id, is_deleted, name, category_name, category_group_code, phone, address,
        road_address, latitude, longitude, url, closed_at, stations, keywords)
    select (select coalesce(max(version), 0) from place_version) + row_number() over (), c.place_id,
        p.place_id is null or p.closed_at is not null, p.name, p.category_name, p.category_group_code, p.phone, p.address,
        p.road_address, p.latitude, p.longitude, p.url, p.closed_at, near.stations, near.keywords
    from unnest(changed) c (place_id)
    left join place p using (place_id)
    cross join lateral (
        select coalesce(array_agg(distinct s.name order by s.name), '{}') as stations,
            coalesce(array_agg(distinct k.query order by k.query), '{}') as keywords
        from listing l join station s using (station_id) join keyword k using (keyword_id)
        where l.place_id = c.place_id and l.gone_at is null
    ) near
    on conflict (place_id) do update set
        -- One version per transaction is enough.
        version = case when known.xmin = pg_current_xact_id()::xid then known.version else excluded.version end,
        is_deleted = excluded.is_deleted, name = excluded.name, category_name = excluded.category_name,
        category_group_code = excluded.category_group_code, phone = excluded.phone, address = excluded.address,
        road_address = excluded.road_address, latitude = excluded.latitude, longitude = excluded.longitude, url = excluded.url,
        closed_at = excluded.closed_at, stations = excluded.stations, keywords = excluded.keywords;
end
$$;
comment on function give_versions is 'Gives places a new version, and writes their rows of place_feed.';

create or replace function note_versions() returns trigger
language plpgsql security definer
set search_path = pg_catalog, sanggwond, pg_temp
as $$
begin
    if exists (select from changed) then
        perform give_versions(array(select distinct place_id from changed));
    end if;
    return null;
end
$$;

create function note_renamed() returns trigger
language plpgsql security definer
set search_path = pg_catalog, sanggwond, pg_temp
as $$
begin
    -- First the lock: a transaction that has it may be adding a listing.
    update place_version_lock set only_one = true;
    if tg_table_name = 'station' then
        perform give_versions(array(
            select distinct place_id from listing where station_id = new.station_id and gone_at is null));
    else
        perform give_versions(array(
            select distinct place_id from listing where keyword_id = new.keyword_id and gone_at is null));
    end if;
    return null;
end
$$;
comment on function note_renamed is 'Gives the places near a station, or of a keyword, a new version when its name has changed.';

create trigger note_renamed after update on station for each row when (old.name <> new.name) execute function note_renamed();
create trigger note_renamed after update on keyword for each row when (old.query <> new.query) execute function note_renamed();

update place_version v
set is_deleted = filled.is_deleted, name = filled.name, category_name = filled.category_name,
    category_group_code = filled.category_group_code, phone = filled.phone, address = filled.address,
    road_address = filled.road_address, latitude = filled.latitude, longitude = filled.longitude, url = filled.url,
    closed_at = filled.closed_at, stations = filled.stations, keywords = filled.keywords
from (
    select v.place_id, p.place_id is null or p.closed_at is not null as is_deleted, p.name, p.category_name, p.category_group_code,
        p.phone, p.address, p.road_address, p.latitude, p.longitude, p.url, p.closed_at, coalesce(near.stations, '{}') as stations,
        coalesce(near.keywords, '{}') as keywords
    from place_version v
    left join place p using (place_id)
    left join (
        select l.place_id, array_agg(distinct s.name order by s.name) as stations,
            array_agg(distinct k.query order by k.query) as keywords
        from listing l join station s using (station_id) join keyword k using (keyword_id)
        where l.gone_at is null
        group by l.place_id
    ) near using (place_id)
) filled
where v.place_id = filled.place_id;

-- The settings of the function that it replaces would keep it from being planned as a part of the caller's query.
create or replace function place_feed(after bigint, max_rows integer default 1000) returns setof fed_place
language sql stable parallel safe
begin atomic
    select version, place_id, is_deleted, name, category_name, category_group_code, phone, address, road_address, latitude,
        longitude, url, closed_at, stations, keywords
    from place_version
    where version > after
    order by version
    limit max_rows;
end;
