-- Cells that are rectangles, and what a cell proves.

alter table crawl_cell
    alter station_id drop not null,
    alter radius_m drop not null,
    add west double precision,
    add south double precision,
    add east double precision,
    add north double precision,
    add complete boolean not null default false,
    add shortfall integer not null default 0 check (shortfall >= 0),
    add check (num_nonnulls(station_id, radius_m) in (0, 2)),
    add check (num_nonnulls(west, south, east, north) in (0, 4)),
    add check ((station_id is null) = (west is not null)),
    add check (west <= east and south <= north);
comment on table crawl_cell is 'One cell of a run, one keyword in one area: the ledger and the checkpoint. The area is a circle around a station, or a rectangle.';
comment on column crawl_cell.station_id is 'Around which station; null for a rectangle.';
comment on column crawl_cell.radius_m is 'Within how many metres; null for a rectangle.';
comment on column crawl_cell.west is 'Degrees east of its western side; it is searched about a metre larger to all sides.';
comment on column crawl_cell.south is 'Degrees north of its southern side.';
comment on column crawl_cell.east is 'Degrees east of its eastern side.';
comment on column crawl_cell.north is 'Degrees north of its northern side.';
comment on column crawl_cell.complete is 'Whether all that the API counted was shown, and that is proven: only such a cell can tell that something is not there.';
comment on column crawl_cell.shortfall is 'How many places the API counted and never showed.';
comment on column crawl_cell.places is 'Different places on these pages.';

alter table place_keyword add last_seen_cell integer;
comment on column place_keyword.last_seen_cell is 'The cell of that run that last found it; null where the run searched around stations.';

create or replace view run_failure as
select c.crawl_run_id, c.cell_no, c.status, k.query as keyword, s.name as station_name, s.region, c.chances, c.attempts, c.error,
    coalesce(s.name || ' ' || c.radius_m || ' m', format('%s,%s to %s,%s', c.south, c.west, c.north, c.east)) as area
from crawl_cell c
join keyword k using (keyword_id)
left join station s using (station_id)
where c.status = 'failed' or c.chances > 0
order by c.crawl_run_id desc, c.cell_no;
comment on column run_failure.station_name is 'Around which station; null for a rectangle.';
comment on column run_failure.area is 'Where it was searched for: the station and the radius, or the corners of the rectangle in degrees, latitude first.';
