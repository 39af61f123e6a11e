-- A million places, most of them around few stations, and three million listings. The stations already exist.
--
-- The places are inserted in random order, so that neighbouring places are on different pages: the worst case for reading.

select setseed(0.5);

insert into keyword (query)
select query
from unnest(array['스터디룸', '식당', '카페', '호프', '헬스클럽', '도서관', '공원', '미술관', '애견카페', '셀프사진'])
    with ordinality as t (query, rank)
order by rank;

-- Names: 12 % of the places belong to eleven chains, the others to 60,000 names of two or three random syllables and a word,
-- some much more common than others. Half of the names end with that of a station.
create temp table syllable as
select row_number() over () as number, syllable from unnest(string_to_array(
    '가,강,개,고,곰,국,군,금,김,나,남,냉,노,누,다,달,담,대,도,동,두,들,라,랑,로,루,리,마,만,말,명,모,목,문,물,미,바,박,반,방,밥,백,베,별,'
    '보,본,봄,봉,부,북,불,비,빈,사,산,삼,상,새,서,석,선,설,성,소,손,솔,송,수,숲,스,시,신,아,안,양,어,연,영,오,온,옥,왕,용,우,운,원,월,유,'
    '은,이,인,일,자,장,전,정,제,조,종,주,중,지,진,차,참,천,청,초,카,커,코,콩,쿠,타,태,토,투,트,파,판,팔,평,포,푸,풍,피,하,학,한,해,행,향,'
    '호,홍,화,황,회,효,흥', ',')) as t (syllable);
create temp table made_name (number integer primary key, name text not null);
insert into made_name
select drawn.number, string_agg(syllable, '' order by place) || (array['', '', '식당', '카페', '커피', '치킨', '포차', '공원', '서점', '국밥',
    '떡볶이', '필라테스', '스터디카페', ' 미술관', 'Cafe', 'Coffee'])[1 + drawn.number % 16]
from (
    select number, place, 1 + floor(random() * (select count(*) from syllable)) as syllable_number
    from generate_series(1, 60000) as number, generate_series(1, 3) as place
    where place < 3 or number % 2 = 0
) drawn
join syllable on syllable.number = syllable_number
group by drawn.number;
insert into made_name
select 60000 + number, name
from unnest(array['스타벅스', '메가MGC커피', '투썸플레이스', '이디야커피', '김밥천국', '파리바게뜨', 'CU', 'GS25', '세븐일레븐', '본죽', 'STARBUCKS'])
    with ordinality as t (name, number);

create temp table made as
select (10000000 + number::bigint * 7919 % 1000003)::text as place_id, number, kind, replace(s.name, '역', '') as branch,
    s.latitude + sin(direction) * metres / 110950 as latitude,
    s.longitude + cos(direction) * metres / (111320 * cosd(s.latitude)) as longitude
from (
    select number, 1 + floor(941 * power(random(), 1.6))::int as rank, 2 * pi() * random() as direction,
        1300 * power(random(), 0.6) as metres, random() as kind
    from generate_series(1, 1000000) as number
) place
join (select name, latitude, longitude, row_number() over (order by md5(name || station_id)) as rank from station) s using (rank);
create index on made using gist (point(longitude, latitude));
analyze made;

insert into place (place_id, name, category_name, category_group_code, phone, address, road_address, latitude, longitude, url,
    first_seen_at, changed_at)
select place_id, n.name || case when (kind * 1000)::numeric % 1 < 0.5 then ' ' || branch || '점' else '' end, '음식점 > 카페 > 커피전문점', 'CE7', '02-000-' || made.number, '서울 서대문구 창천동 ' || made.number,
    '서울 서대문구 신촌로 ' || made.number, latitude, longitude, 'http://place.map.kakao.com/' || made.number, now(), now()
from made
join made_name n on n.number = case when (kind * 100)::numeric % 1 < 0.12 then 60001 + made.number % 11
    else 1 + floor(60000 * power(((kind * 10000)::numeric % 1)::float8, 3)) end;

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

drop table made, made_name, syllable;
