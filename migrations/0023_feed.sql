-- Which places changed, in the order of the commits, for who keeps a copy in step.

create table place_version (
    version bigint primary key,
    place_id text not null unique,
    is_deleted boolean not null
);
comment on table place_version is 'The version of each place, and of each place that was deleted. Kept by triggers; place_feed reads it.';
comment on column place_version.version is 'Grows with each change of the content, of closed_at or of the listings, in the order in which the transactions are committed.';
comment on column place_version.place_id is 'The place.';
comment on column place_version.is_deleted is 'Whether its row was deleted (`sanggwond purge`).';

create table place_version_lock (
    only_one boolean primary key default true check (only_one)
);
insert into place_version_lock default values;
comment on table place_version_lock is 'One row, which a transaction locks before it gives places new versions.';
comment on column place_version_lock.only_one is 'Key; there is one row.';

-- A follower that has read all versions up to n must never meet a smaller one later. Therefore a transaction takes its numbers
-- under a lock that it holds until its commit is visible: whatever is not visible yet has larger numbers than all that is. Other
-- locks of the program do not suffice, because a process that has lost its run may still be writing its last batch. The lock is
-- a row, so a role that only reads cannot take it. The numbers follow the largest one in the table instead of a sequence, which
-- would stay behind where rows are copied without it.
create function note_versions() returns trigger
language plpgsql security definer
set search_path = pg_catalog, sanggwond, pg_temp
as $$
begin
    if not exists (select from changed) then
        return null;
    end if;
    perform from place_version_lock for update;
    insert into place_version as known (version, place_id, is_deleted)
    select (select coalesce(max(version), 0) from place_version) + row_number() over (), place_id,
        tg_table_name = 'place' and tg_op = 'DELETE'
    from (select distinct place_id from changed) c
    on conflict (place_id) do update set version = excluded.version, is_deleted = excluded.is_deleted
    -- One version per transaction is enough.
    where known.xmin <> pg_current_xact_id()::xid or known.is_deleted <> excluded.is_deleted;
    return null;
end
$$;
comment on function note_versions is 'Gives places a new version when they, or their listings, have changed.';

create trigger note_inserted after insert on place referencing new table as changed
for each statement execute function note_versions();
create trigger note_updated after update on place referencing new table as changed
for each statement execute function note_versions();
create trigger note_deleted after delete on place referencing old table as changed
for each statement execute function note_versions();
create trigger note_inserted after insert on listing referencing new table as changed
for each statement execute function note_versions();
create trigger note_updated after update on listing referencing new table as changed
for each statement execute function note_versions();
create trigger note_deleted after delete on listing referencing old table as changed
for each statement execute function note_versions();

-- The places of today, the oldest change first.
insert into place_version (version, place_id, is_deleted)
select row_number() over (order by changed_at, place_id), place_id, false from place;

create type fed_place as (
    version bigint,
    place_id text,
    is_deleted boolean,
    name text,
    category_name text,
    category_group_code text,
    phone text,
    address text,
    road_address text,
    latitude double precision,
    longitude double precision,
    url text,
    closed_at timestamptz,
    stations text[],
    keywords text[]
);
comment on type fed_place is 'A row of place_feed: a place as it is now, and its version.';
comment on column fed_place.version is 'The number to go on after.';
comment on column fed_place.place_id is 'Kakao''s id.';
comment on column fed_place.is_deleted is 'Whether to remove it from a copy: it is closed, or was deleted.';
comment on column fed_place.name is 'Name; null after it was deleted, like all columns below.';
comment on column fed_place.category_name is 'Category path, such as 음식점 > 한식.';
comment on column fed_place.category_group_code is 'Kakao category group, such as FD6.';
comment on column fed_place.phone is 'Phone number as Kakao displays it.';
comment on column fed_place.address is 'Address by lot number.';
comment on column fed_place.road_address is 'Address by street.';
comment on column fed_place.latitude is 'WGS84 latitude in degrees.';
comment on column fed_place.longitude is 'WGS84 longitude in degrees.';
comment on column fed_place.url is 'Address of its page on Kakao Map.';
comment on column fed_place.closed_at is 'When a run first did not find it; null while it is open.';
comment on column fed_place.stations is 'Names of the stations near it, sorted; those of its listings.';
comment on column fed_place.keywords is 'Keywords that find it near a station, sorted.';

create function place_feed(after bigint, max_rows integer default 1000) returns setof fed_place
language sql stable parallel safe
begin atomic
    select v.version, v.place_id, p.place_id is null or p.closed_at is not null, p.name, p.category_name, p.category_group_code,
        p.phone, p.address, p.road_address, p.latitude, p.longitude, p.url, p.closed_at, near.stations, near.keywords
    from (select * from place_version where version > after order by version limit max_rows) v
    left join place p using (place_id)
    cross join lateral (
        select coalesce(array_agg(distinct s.name order by s.name), '{}') as stations,
            coalesce(array_agg(distinct k.query order by k.query), '{}') as keywords
        from listing l join station s using (station_id) join keyword k using (keyword_id)
        where l.place_id = v.place_id and l.gone_at is null
    ) near
    order by v.version;
end;
comment on function place_feed is 'The places that changed after a version, in the order of their changes, at most so many rows. Start after 0, and go on after the largest version that was read.';
