-- What is found: places, by which keyword, near which station.

create table place (
    place_id text primary key,
    name text not null,
    category_name text,
    category_group_code text,
    phone text,
    address text,
    road_address text,
    latitude double precision not null check (latitude between -90 and 90),
    longitude double precision not null check (longitude between -180 and 180),
    url text,
    first_seen_at timestamptz not null,
    changed_at timestamptz not null,
    closed_at timestamptz
);
comment on table place is 'One place with its newest content. What the API leaves empty is null.';
comment on column place.place_id is 'Kakao''s id.';
comment on column place.name is 'Name on the sign.';
comment on column place.category_name is 'Category path, such as 음식점 > 한식.';
comment on column place.category_group_code is 'Kakao''s category group, such as FD6; null where it has none.';
comment on column place.phone is 'Phone number as displayed.';
comment on column place.address is 'Address by lot number.';
comment on column place.road_address is 'Address by street.';
comment on column place.latitude is 'Degrees north (WGS84).';
comment on column place.longitude is 'Degrees east (WGS84).';
comment on column place.url is 'Page on Kakao Map.';
comment on column place.first_seen_at is 'When the place was first stored.';
comment on column place.changed_at is 'When its content last changed; at first, when it was first stored.';
comment on column place.closed_at is 'When it was found to be gone; null while it is open.';

create table place_keyword (
    place_id text not null references place,
    keyword_id integer not null references keyword,
    first_seen_at timestamptz not null,
    last_seen_run bigint not null,
    misses smallint not null default 0,
    missing_since timestamptz,
    gone_at timestamptz,
    primary key (place_id, keyword_id)
) with (fillfactor = 50);
comment on table place_keyword is 'This place was found by this keyword. The only table that every run rewrites: narrow, half-filled pages, no index on the stamp, so that an update stays on its page.';
comment on column place_keyword.place_id is 'The place.';
comment on column place_keyword.keyword_id is 'The keyword that found it.';
comment on column place_keyword.first_seen_at is 'When this keyword first found it.';
comment on column place_keyword.last_seen_run is 'The run that last found it; no foreign key, because old runs are deleted.';
comment on column place_keyword.misses is 'How many complete searches in a row did not find it.';
comment on column place_keyword.missing_since is 'When the first of these misses happened.';
comment on column place_keyword.gone_at is 'When it was given up for this keyword; null while it is found.';

create table listing (
    station_id integer not null references station,
    keyword_id integer not null references keyword,
    place_id text not null references place,
    distance_m integer not null check (distance_m >= 0),
    gone_at timestamptz,
    primary key (station_id, keyword_id, place_id)
);
comment on table listing is 'This place, found by this keyword, lies within the radius of this station, whichever search found it.';
comment on column listing.station_id is 'The station.';
comment on column listing.keyword_id is 'The keyword.';
comment on column listing.place_id is 'The place.';
comment on column listing.distance_m is 'Whole metres on the WGS84 ellipsoid from the station''s position, rounded down.';
comment on column listing.gone_at is 'When the place was given up for this keyword; null while it is found.';

create table station_keyword (
    station_id integer not null references station,
    keyword_id integer not null references keyword,
    radius_m integer not null,
    complete_since timestamptz,
    complete_at timestamptz,
    cut_off boolean not null,
    places integer not null,
    primary key (station_id, keyword_id)
) with (fillfactor = 70);
comment on table station_keyword is 'How well a station is covered for a keyword.';
comment on column station_keyword.station_id is 'The station.';
comment on column station_keyword.keyword_id is 'The keyword.';
comment on column station_keyword.radius_m is 'Metres around the station that were last searched.';
comment on column station_keyword.complete_since is 'Since when every search of this radius showed all that the API found; null where the last one did not.';
comment on column station_keyword.complete_at is 'When a search last showed all that the API found.';
comment on column station_keyword.cut_off is 'Whether the API found more places than it showed in the last search.';
comment on column station_keyword.places is 'Places that the last search showed.';
