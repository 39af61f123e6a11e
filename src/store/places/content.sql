-- Writes the places that are new or differ, records the differences in place_change, and returns the written places. Content
-- that contradicts the stored one goes to place_doubt instead, unless it is confirmed already ($13).
with incoming as (
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::float8[], $9::float8[], $10::text[])
        as t (place_id, name, category_name, category_group_code, phone, address, road_address, latitude,
        longitude, url)
), before as (
    select p.*, place_content(p) as content from place p join incoming using (place_id)
), judged as (
    select incoming.*, case
        when $13 then null
        when (p.latitude, p.longitude) <> (incoming.latitude, incoming.longitude)
            and metres_between(p.latitude, p.longitude, incoming.latitude, incoming.longitude) > 2000 then 'moved'
        when p.name <> '' and incoming.name = '' then 'nameless'
        when (p.category_name is not null and incoming.category_name is null)
            or (p.category_group_code is not null and incoming.category_group_code is null)
            or (p.phone is not null and incoming.phone is null)
            or (p.address is not null and incoming.address is null)
            or (p.road_address is not null and incoming.road_address is null)
            or (p.url is not null and incoming.url is null) then 'blanked'
    end as doubt
    from incoming left join before p using (place_id)
), doubted as (
    insert into place_doubt (crawl_run_id, place_id, kind, content)
    select $12, place_id, doubt, to_jsonb(judged) - '{place_id,doubt}'::text[] from judged where doubt is not null
    on conflict (crawl_run_id, place_id) do update set kind = excluded.kind, content = excluded.content
    returning place_id
), written as (
    insert into place as p (place_id, name, category_name, category_group_code, phone, address, road_address,
        latitude, longitude, url, first_seen_at, changed_at)
    select place_id, name, category_name, category_group_code, phone, address, road_address, latitude, longitude, url,
        $11, $11
    from judged where doubt is null
    on conflict (place_id) do update set
        name = excluded.name, category_name = excluded.category_name,
        category_group_code = excluded.category_group_code, phone = excluded.phone,
        address = excluded.address, road_address = excluded.road_address, latitude = excluded.latitude,
        longitude = excluded.longitude, url = excluded.url, changed_at = excluded.changed_at
    where (p.name, p.category_name, p.category_group_code, p.phone, p.address, p.road_address, p.latitude,
        p.longitude, p.url) is distinct from (excluded.name, excluded.category_name,
        excluded.category_group_code, excluded.phone, excluded.address, excluded.road_address,
        excluded.latitude, excluded.longitude, excluded.url)
    returning p.*, place_content(p) as content
), recorded as (
    insert into place_change (place_id, crawl_run_id, kind, is_replaced, before, after, latitude, longitude,
        not_before, not_after, recorded_at)
    select place_id, $12, 'changed',
        before.name <> written.name and before.category_name is distinct from written.category_name,
        difference.before, difference.after, written.latitude, written.longitude,
        case when seen.at < $11 then seen.at end, $11, $11
    from written join before using (place_id)
    cross join lateral (
        select jsonb_object_agg(key, old.value) as before, jsonb_object_agg(key, new.value) as after
        from jsonb_each(before.content) old join jsonb_each(written.content) new using (key)
        where old.value <> new.value
    ) difference
    left join lateral (
        select max(started_at) as at from place_keyword found
        join crawl_run on crawl_run_id = greatest(last_seen_run, confirmed_run)
        where found.place_id = written.place_id
    ) seen on true
), settled as (
    -- A later answer of the same run agrees with the stored content, or was confirmed.
    delete from place_doubt using judged
    where place_doubt.crawl_run_id = $12 and place_doubt.place_id = judged.place_id and judged.doubt is null
)
select place_id as "place_id!", before.latitude as "latitude?", before.longitude as "longitude?",
    coalesce((before.latitude, before.longitude) <> (written.latitude, written.longitude), false) as "has_moved!",
    false as "is_doubted!"
from written left join before using (place_id)
union all
select place_id, before.latitude, before.longitude, false, true from doubted join before using (place_id)
