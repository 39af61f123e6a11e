-- What a run changed, and how readers find their way to places.

create table place_change (
    place_change_id bigint generated always as identity primary key,
    place_id text not null references place,
    crawl_run_id bigint not null,
    kind text not null check (kind in ('opened', 'changed', 'closed', 'reopened')),
    is_replaced boolean not null default false,
    before jsonb,
    after jsonb,
    latitude double precision not null check (latitude between -90 and 90),
    longitude double precision not null check (longitude between -180 and 180),
    not_before timestamptz,
    not_after timestamptz not null,
    recorded_at timestamptz not null,
    check (not_before <= not_after),
    check ((before is null) = (kind in ('opened', 'reopened'))),
    check ((after is null) = (kind in ('closed', 'reopened')))
);
comment on table place_change is 'What a run changed of a place. It happened somewhere between two looks: not before the first, not after the second.';
comment on column place_change.place_change_id is 'Key, growing with time.';
comment on column place_change.place_id is 'The place.';
comment on column place_change.crawl_run_id is 'The run that found out; no foreign key, because old runs are deleted.';
comment on column place_change.kind is 'opened (new on ground that was complete before), changed (another content), closed (looked for and not there), reopened (found again).';
comment on column place_change.is_replaced is 'Whether name and category are both other ones: Kakao''s id stands for another place now.';
comment on column place_change.before is 'Of a change the former values of what differs, of a closing the last content; else null.';
comment on column place_change.after is 'Of a change the new values of what differs, of an opening the content; else null.';
comment on column place_change.latitude is 'Degrees north (WGS84), where the place was then; of a move, where it is now.';
comment on column place_change.longitude is 'Degrees east (WGS84), where the place was then; of a move, where it is now.';
comment on column place_change.not_before is 'The last look that did not show it yet, told by the start of its run; null where that run is forgotten.';
comment on column place_change.not_after is 'The first look that showed it: when its answer was stored, or for a closing when its run ended.';
comment on column place_change.recorded_at is 'When the row was written; a closing takes several looks.';
create index place_change_place on place_change (place_id);
create index place_change_recorded on place_change (recorded_at);
create index place_change_run on place_change (crawl_run_id);

alter table station_keyword add coverage text check (coverage in ('station', 'complete'));
comment on column station_keyword.coverage is 'How the last run covered the ground: station or complete; null where no run has told yet.';
comment on column station_keyword.complete_since is 'The start of the first run since which every run of this radius and coverage showed all that the API found; null where the last one did not.';
comment on column station_keyword.complete_at is 'The start of the last run that showed all that the API found.';

alter table place_keyword add confirmed_run bigint;
comment on column place_keyword.confirmed_run is 'The run in which this keyword did not find it, but a search for its name did; null where that never happened.';
comment on column place_keyword.missing_since is 'When the first of these misses was recorded, at the end of its run.';

comment on column place.changed_at is 'When its content last changed, or when it was closed or reopened; at first, when it was first stored.';
comment on column place.closed_at is 'The first look that did not find it any more, once enough of them did not; null while it is open.';
comment on column crawl_run.status is 'running, interrupted (will be resumed), succeeded (every cell done), partial (cells failed, or closings were held back), failed (cannot go on), skipped (tick not run).';
comment on column crawl_run.places_missed is 'Places that a complete search should have found and did not, as far as that counts.';
comment on column local_info.updated_at is 'When its content last changed, or when it was closed or reopened.';

-- Nearest first, and within a box; closed places are not looked for.
create index place_position on place using gist (point(longitude, latitude)) where closed_at is null;
