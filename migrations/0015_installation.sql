-- What the tables are for, and functions that mean the same whatever the search path of a session is.

create table installation (
    only_one boolean primary key default true check (only_one),
    is_demo boolean not null,
    owner_role text not null,
    created_at timestamptz not null
);
comment on table installation is 'One row about these tables, written when they are made. A run with real places refuses a demo world, and --demo refuses real places.';
comment on column installation.only_one is 'Key; there is one row.';
comment on column installation.is_demo is 'Whether the places are those of a demo world (--demo).';
comment on column installation.owner_role is 'Role that made the row, for people; nothing is allowed because of it.';
comment on column installation.created_at is 'When the row was made.';
-- Every command reads it first, also with a role that was granted nothing since the upgrade.
grant select on installation to public;

alter function copy_position() set search_path = pg_catalog, sanggwond, pg_temp;
alter function move_position() set search_path = pg_catalog, sanggwond, pg_temp;
