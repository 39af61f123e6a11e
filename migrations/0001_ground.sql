-- What is crawled: stations and keywords.

create table station (
    station_id integer generated always as identity primary key,
    name text not null,
    region text not null,
    lines text[] not null,
    latitude double precision not null check (latitude between -90 and 90),
    longitude double precision not null check (longitude between -180 and 180),
    retired_at timestamptz
);
comment on table station is 'One physical station, transfer lines merged. A station that is gone from the station file is retired, never deleted.';
comment on column station.station_id is 'Key; stays the same when the station is renamed or moves a little.';
comment on column station.name is 'Name on the sign, with the suffix 역. Not unique: several places share a name.';
comment on column station.region is 'Network: 수도권, 부산, 대구, 대전 or 광주.';
comment on column station.lines is 'Lines that stop here, sorted.';
comment on column station.latitude is 'Degrees north (WGS84), the mean of the platforms.';
comment on column station.longitude is 'Degrees east (WGS84), the mean of the platforms.';
comment on column station.retired_at is 'When the station was first missing from the station file; null while it is in use.';
create index station_name on station (name);

create table keyword (
    keyword_id integer generated always as identity primary key,
    query text not null unique,
    category_group_code text,
    retired_at timestamptz
);
comment on table keyword is 'One searched keyword. A keyword that is gone from the configuration is retired, never deleted.';
comment on column keyword.keyword_id is 'Key.';
comment on column keyword.query is 'The text that is searched for.';
comment on column keyword.category_group_code is 'The only category group of Kakao that may answer; null: all.';
comment on column keyword.retired_at is 'When the keyword was first missing from the configuration; null while it is in use.';
