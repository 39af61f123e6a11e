-- Room for the rows of place_feed. The next migration fills it: readers would wait for both if they were one.

alter table place_version
    add column name text,
    add column category_name text,
    add column category_group_code text,
    add column phone text,
    add column address text,
    add column road_address text,
    add column latitude double precision,
    add column longitude double precision,
    add column url text,
    add column closed_at timestamptz,
    add column stations text[] not null default '{}',
    add column keywords text[] not null default '{}';
comment on table place_version is 'The rows of place_feed: each place, and each that was deleted, with its version. Kept by triggers.';
comment on column place_version.is_deleted is 'Whether to remove it from a copy: it is closed, or was deleted (`sanggwond purge`).';
comment on column place_version.name is 'Name; null after it was deleted, as are all columns below but the last two.';
comment on column place_version.category_name is 'Category path, such as 음식점 > 한식.';
comment on column place_version.category_group_code is 'Kakao category group, such as FD6.';
comment on column place_version.phone is 'Phone number as Kakao displays it.';
comment on column place_version.address is 'Address by lot number.';
comment on column place_version.road_address is 'Address by street.';
comment on column place_version.latitude is 'WGS84 latitude in degrees.';
comment on column place_version.longitude is 'WGS84 longitude in degrees.';
comment on column place_version.url is 'Address of its page on Kakao Map.';
comment on column place_version.closed_at is 'When a run first did not find it; null while it is open.';
comment on column place_version.stations is 'Names of the stations near it, sorted; those of its listings.';
comment on column place_version.keywords is 'Keywords that find it near a station, sorted.';
