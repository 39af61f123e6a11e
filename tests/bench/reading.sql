-- A million places, most of them around few stations, and three million listings. The stations already exist.
--
-- The places are inserted in random order, so that neighbouring places are on different pages: the worst case for reading.

select setseed(0.5);

insert into keyword (query)
select query
from unnest(array['스터디룸', '식당', '카페', '호프', '헬스클럽', '도서관', '공원', '미술관', '애견카페', '셀프사진'])
    with ordinality as t (query, rank)
order by rank;

create temp table made as
select (10000000 + number::bigint * 7919 % 1000003)::text as place_id, number, kind,
    s.latitude + sin(direction) * metres / 110950 as latitude,
    s.longitude + cos(direction) * metres / (111320 * cosd(s.latitude)) as longitude
from (
    select number, 1 + floor(941 * power(random(), 1.6))::int as rank, 2 * pi() * random() as direction,
        1300 * power(random(), 0.6) as metres, random() as kind
    from generate_series(1, 1000000) as number
) place
join (select latitude, longitude, row_number() over (order by md5(name || station_id)) as rank from station) s using (rank);
create index on made using gist (point(longitude, latitude));
analyze made;

insert into place (place_id, name, category_name, category_group_code, phone, address, road_address, latitude, longitude, url,
    first_seen_at, changed_at)
select place_id, '가게 ' || number, '음식점 > 카페 > 커피전문점', 'CE7', '02-000-' || number, '서울 서대문구 창천동 ' || number,
    '서울 서대문구 신촌로 ' || number, latitude, longitude, 'http://place.map.kakao.com/' || number, now(), now()
from made;

-- 0.3 % of the places are 미술관; two thirds are found by two keywords.
insert into place_keyword (place_id, keyword_id, first_seen_at, last_seen_run, position)
select place_id, case when kind < 0.45 then 2 when kind < 0.7 then 3 when kind < 0.82 then 4 when kind < 0.88 then 5
    when kind < 0.94 then 7 when kind < 0.965 then 1 when kind < 0.98 then 6 when kind < 0.99 then 10
    when kind < 0.997 then 9 else 8 end, now(), 1, point(longitude, latitude)
from made
union all
select place_id, case when kind < 0.45 then 3 else 4 end, now(), 1, point(longitude, latitude) from made where kind < 0.66;

insert into listing (station_id, keyword_id, place_id, distance_m)
select station_id, keyword_id, place_id, floor(metres)
from (
    select s.station_id, m.place_id, metres_between(s.latitude, s.longitude, m.latitude, m.longitude) as metres
    from station s
    join made m on point(m.longitude, m.latitude) <@ box_around(s.latitude, s.longitude, 1000)
) near
join place_keyword using (place_id)
where metres <= 1000;

drop table made;
