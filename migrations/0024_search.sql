-- Looking up places and stations by a part of their name; a faster feed that any writer keeps in order; local_info by any column.

create function folded(text text) returns text
language sql immutable parallel safe strict
return lower(normalize(text, NFKC));
comment on function folded is 'A name for comparison: the case and the width of its letters do not matter, and Hangul is composed (NFKC).';

-- A search for a part of a name near a position needs both in one index. Only GiST orders by distance, and the only texts that
-- it indexes without an extension are those of a tsvector: here the characters of a name and its pairs of neighbours.
create function name_pieces(name text) returns tsvector
language plpgsql immutable parallel safe strict
set search_path = sanggwond, pg_temp
as $$
declare
    folded constant text := folded(name);
begin
    return array_to_tsvector(array(
        select distinct substr(folded, at, size) from generate_series(1, length(folded)) at, generate_series(1, 2) size));
end
$$;
comment on function name_pieces is 'Every character of the folded name, and every two neighbouring ones.';

-- The signatures of the inner pages are long enough to tell apart the pieces of some thousand names.
create index place_position_name on place using gist (point(longitude, latitude), name_pieces(name) tsvector_ops (siglen = 1000))
where closed_at is null;

-- Like place_near, this looks up as many places as are asked for, measures how far they are, and then measures all that lie in
-- the box of that size. The plan must walk the index in the order of distance; the planner knows too little of the pieces of a
-- name to see that sorting all places with such a name takes longer.
create function place_search(text text, latitude double precision, longitude double precision, max_rows integer default 20)
returns setof near_place
language plpgsql stable parallel safe rows 20
set search_path = sanggwond, pg_temp
-- The plan is the same for all texts, and making it takes as long as most searches.
set plan_cache_mode = force_generic_plan
set max_parallel_workers_per_gather = 0
set enable_seqscan = off
set enable_bitmapscan = off
set enable_sort = off
-- The penalty of the plans that are switched off would make it compile for a tenth of a second.
set jit = off
as $$
declare
    here constant point := point(longitude, latitude);
    part constant text := btrim(folded(text));
    pieces tsquery;
    found text[];
    reach double precision;
begin
    if latitude is null or longitude is null or not (latitude between -90 and 90 and longitude between -180 and 180) then
        raise exception using errcode = '22023', message = format('place_search: %s, %s is no position; latitude comes first, in degrees',
            coalesce(latitude::text, 'null'), coalesce(longitude::text, 'null'));
    elsif part is null or part = '' then
        raise exception using errcode = '22023', message = 'place_search: the text is empty; it must be a part of a name';
    elsif max_rows is null or max_rows < 0 then
        raise exception using errcode = '22023',
            message = format('place_search: %s rows were asked for; it must be a number from 0 on', coalesce(max_rows::text, 'null'));
    end if;
    -- A single character has no neighbours. No name needs more than 40 characters to be found.
    select string_agg('''' || replace(replace(piece, '\', '\\'), '''', '''''') || '''', ' & ')::tsquery into pieces
    from (
        select distinct substr(part, at, 2) as piece
        from generate_series(1, least(greatest(length(part) - 1, 1), 40)) at
    ) p;

    select array_agg(near.place_id), max(metres_between(latitude, longitude, near.y, near.x)) into found, reach
    from (
        select p.place_id, p.longitude as x, p.latitude as y
        from place p
        where p.closed_at is null and name_pieces(p.name) @@ pieces and strpos(folded(p.name), part) > 0
        order by point(p.longitude, p.latitude) <-> here
        limit max_rows
    ) near;
    -- Far away, distances are approximate anyway, and the box would hold most of the country.
    if cardinality(found) = max_rows and reach <= 200000 then
        found := array(
            select p.place_id
            from place p
            where p.closed_at is null and name_pieces(p.name) @@ pieces and strpos(folded(p.name), part) > 0
            and point(p.longitude, p.latitude) <@ box_around(place_search.latitude, place_search.longitude, reach));
    end if;

    return query
    select near.place_id, near.name, near.category_name, near.phone, near.address, near.road_address, near.latitude, near.longitude,
        near.url, floor(near.metres)::integer
    from (
        select p.*, metres_between(place_search.latitude, place_search.longitude, p.latitude, p.longitude) as metres
        from place p
        where p.place_id = any(found)
    ) near
    order by near.metres, near.place_id
    limit max_rows;
end
$$;
comment on function place_search is 'Open places whose name contains the text, the nearest to a position first, at most max_rows. The case and width of letters do not matter. An empty text, an impossible position or a negative number of rows is an error. Distances beyond some tens of kilometres are approximate.';

create type found_station as (
    station_id integer,
    name text,
    region text,
    lines text[],
    latitude double precision,
    longitude double precision
);
comment on type found_station is 'A row of station_search: a station in use.';
comment on column found_station.station_id is 'Key of the station.';
comment on column found_station.name is 'Name with the suffix 역.';
comment on column found_station.region is 'Rail network of the station.';
comment on column found_station.lines is 'Names of the lines that stop here, sorted.';
comment on column found_station.latitude is 'WGS84 latitude in degrees.';
comment on column found_station.longitude is 'WGS84 longitude in degrees.';

-- Whoever types 사당 has 삳 on the way, because a keyboard takes the next initial consonant for a final one at first; 과 begins as
-- 고, and 흙 as 흘. So the last letter stands for all that it can become. Letters are those of decomposed Hangul (NFKD).
create function typed_pattern(letters text) returns text
language plpgsql immutable parallel safe strict
set search_path = pg_catalog, pg_temp
as $$
declare
    last constant text := right(letters, 1);
    head constant text := regexp_replace(left(letters, -1), '([][\\.^$*+?(){}|-])', '\\\1', 'g');
    finals constant text := E'\u11A8\u11A9\u11AB\u11AE\u11AF\u11B7\u11B8\u11BA\u11BB\u11BC\u11BD\u11BE\u11BF\u11C0\u11C1\u11C2';
    initials constant text := E'\u1100\u1101\u1102\u1103\u1105\u1106\u1107\u1109\u110A\u110B\u110C\u110E\u110F\u1110\u1111\u1112';
    -- A double final that ends a syllable, and what it was typed of: a final and the next initial.
    doubles constant text := E'\u11AA\u11AC\u11AD\u11B0\u11B1\u11B2\u11B3\u11B4\u11B5\u11B6\u11B9';
    firsts constant text := E'\u11A8\u11AB\u11AB\u11AF\u11AF\u11AF\u11AF\u11AF\u11AF\u11AF\u11B8';
    seconds constant text := E'\u1109\u110C\u1112\u1100\u1106\u1107\u1109\u1110\u1111\u1112\u1109';
begin
    return head || case
        when last = E'\u1169' then E'[\u1169-\u116C]'
        when last = E'\u116E' then E'[\u116E-\u1171]'
        when last = E'\u1173' then E'[\u1173\u1174]'
        when strpos(doubles, last) > 0
            then format('(%s|%s%s)', last, translate(last, doubles, firsts), translate(last, doubles, seconds))
        when strpos(finals, last) > 0 then format('(%s|%s)', case last
            when E'\u11A8' then E'[\u11A8\u11AA]'
            when E'\u11AB' then E'[\u11AB-\u11AD]'
            when E'\u11AF' then E'[\u11AF-\u11B6]'
            when E'\u11B8' then E'[\u11B8\u11B9]'
            else last
        end, translate(last, finals, initials))
        else regexp_replace(last, '([][\\.^$*+?(){}|-])', '\\\1')
    end;
end
$$;
comment on function typed_pattern is 'A regular expression for decomposed names that a text, typed so far, can become.';

create function station_search(text text, max_rows integer default 10) returns setof found_station
language sql stable parallel safe rows 10
begin atomic
    select s.station_id, s.name, s.region, s.lines, s.latitude, s.longitude
    from station s,
        lateral (select lower(normalize(s.name, NFKD)) as name, btrim(lower(normalize(text, NFKD))) as part) folded,
        lateral (select typed_pattern(folded.part) as pattern) typed,
        lateral (select folded.name in (folded.part, folded.part || normalize('역', NFKD)) as is_whole,
            strpos(folded.name, folded.part) > 0 as is_exact, folded.name ~ ('^' || typed.pattern) as is_start) match
    where s.retired_at is null and folded.name ~ typed.pattern
    order by match.is_whole desc, match.is_start desc, match.is_exact desc, cardinality(s.lines) desc, s.name, s.station_id
    limit max_rows;
end;
comment on function station_search is 'Stations in use whose name contains the text, for completion while somebody types: names that equal it come first, then names that begin with it, then stations with more lines. An unfinished syllable finds the names that it can become.';

-- The row is updated and not only locked: a transaction whose snapshot is older than the last versions (repeatable read,
-- serializable) would otherwise follow the largest one that it sees, which a follower may already have read past. So it fails,
-- as such transactions must be ready to.
create or replace function note_versions() returns trigger
language plpgsql security definer
set search_path = pg_catalog, sanggwond, pg_temp
as $$
begin
    if not exists (select from changed) then
        return null;
    end if;
    update place_version_lock set only_one = true;
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

-- Content, stations and keywords of a page are looked up together; one lookup for each place takes six times as long. Each call
-- is planned for its own page: a plan for a page of any size would read whole tables.
create or replace function place_feed(after bigint, max_rows integer default 1000) returns setof fed_place
language plpgsql stable parallel safe
set search_path = sanggwond, pg_temp
set plan_cache_mode = force_custom_plan
set max_parallel_workers_per_gather = 0
set jit = off
as $$
begin
    return query
    with page as materialized (
        select v.version, v.place_id from place_version v where v.version > after order by v.version limit max_rows
    ), near as (
        select l.place_id, array_agg(distinct s.name order by s.name) as stations,
            array_agg(distinct k.query order by k.query) as keywords
        from page join listing l using (place_id) join station s using (station_id) join keyword k using (keyword_id)
        where l.gone_at is null
        group by l.place_id
    )
    select v.version, v.place_id, p.place_id is null or p.closed_at is not null, p.name, p.category_name, p.category_group_code,
        p.phone, p.address, p.road_address, p.latitude, p.longitude, p.url, p.closed_at, coalesce(near.stations, '{}'),
        coalesce(near.keywords, '{}')
    from page v
    left join place p using (place_id)
    left join near using (place_id)
    order by v.version;
end
$$;

-- A nearer station of the same name is looked for instead of sorting all rows. So a condition on any column reaches its table.
-- `offset 0` keeps the lookup after the few stations that share their name.
-- It comes last, because readers of the view wait from here to the end of the migration.
create or replace view local_info as
select
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
where not exists (
    select from station other
    where other.name = s.name and other.station_id <> s.station_id and exists (
        select from listing nearer
        where nearer.station_id = other.station_id and nearer.keyword_id = l.keyword_id and nearer.place_id = l.place_id
        and (nearer.gone_at is not null, nearer.distance_m, nearer.station_id) < (l.gone_at is not null, l.distance_m, l.station_id)
        offset 0
    )
);
