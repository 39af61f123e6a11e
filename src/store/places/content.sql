-- Writes the places that are new or differ, keeps what differs in place_change, and returns what was written.
with incoming as (
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::float8[], $9::float8[], $10::text[])
        as t (place_id, name, category_name, category_group_code, phone, address, road_address, latitude,
        longitude, url)
), before as (
    select p.* from place p join incoming using (place_id)
), written as (
    insert into place as p (place_id, name, category_name, category_group_code, phone, address, road_address,
        latitude, longitude, url, first_seen_at, changed_at)
    select *, $11, $11 from incoming
    on conflict (place_id) do update set
        name = excluded.name, category_name = excluded.category_name,
        category_group_code = excluded.category_group_code, phone = excluded.phone,
        address = excluded.address, road_address = excluded.road_address, latitude = excluded.latitude,
        longitude = excluded.longitude, url = excluded.url, changed_at = excluded.changed_at
    where (p.name, p.category_name, p.category_group_code, p.phone, p.address, p.road_address, p.latitude,
        p.longitude, p.url) is distinct from (excluded.name, excluded.category_name,
        excluded.category_group_code, excluded.phone, excluded.address, excluded.road_address,
        excluded.latitude, excluded.longitude, excluded.url)
    returning p.*
), told as (
    insert into place_change (place_id, crawl_run_id, kind, is_replaced, before, after, latitude, longitude,
        not_before, not_after, recorded_at)
    select place_id, $12, 'changed',
        before.name <> written.name and before.category_name is distinct from written.category_name,
        difference.before, difference.after, written.latitude, written.longitude,
        case when seen.at < $11 then seen.at end, $11, $11
    from written join before using (place_id)
    cross join lateral (
        select jsonb_object_agg(key, old.value) as before, jsonb_object_agg(key, new.value) as after
        from jsonb_each(to_jsonb(before) - 'changed_at') old join jsonb_each(to_jsonb(written)) new using (key)
        where old.value <> new.value
    ) difference
    left join lateral (
        select max(started_at) as at from place_keyword link
        join crawl_run on crawl_run_id = greatest(last_seen_run, confirmed_run)
        where link.place_id = written.place_id
    ) seen on true
)
select place_id, before.latitude as "latitude?", before.longitude as "longitude?",
    coalesce((before.latitude, before.longitude) <> (written.latitude, written.longitude), false) as "has_moved!"
from written left join before using (place_id)
