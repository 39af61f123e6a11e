-- What happened: runs, their cells, the requests of a day, the daemons.

create table crawl_run (
    crawl_run_id bigint generated always as identity primary key,
    trigger text not null check (trigger in ('schedule', 'catch_up', 'manual')),
    scheduled_for timestamptz unique,
    status text not null check (status in ('running', 'interrupted', 'succeeded', 'partial', 'failed', 'skipped')),
    reason text,
    coverage text not null check (coverage in ('station', 'complete')),
    scope jsonb,
    started_at timestamptz not null,
    finished_at timestamptz,
    heartbeat_at timestamptz not null,
    resumed_count integer not null default 0,
    stalled_count integer not null default 0,
    resume_at timestamptz,
    cells_total integer not null default 0,
    cells_done integer not null default 0,
    cells_split integer not null default 0,
    cells_failed integer not null default 0,
    cells_pending integer generated always as (cells_total - cells_done - cells_split - cells_failed) stored
        check (cells_pending >= 0),
    cells_truncated integer not null default 0,
    requests bigint not null default 0,
    retries bigint not null default 0,
    throttled bigint not null default 0,
    documents_rejected bigint not null default 0,
    places_seen integer not null default 0,
    places_new integer not null default 0,
    places_changed integer not null default 0,
    places_missed integer not null default 0,
    places_closed integer not null default 0,
    places_reopened integer not null default 0,
    settings jsonb not null default '{}',
    version text not null,
    host text not null,
    check (scheduled_for is null or scheduled_for = date_trunc('second', scheduled_for)),
    check (status not in ('succeeded', 'partial') or cells_total = cells_done + cells_split + cells_failed),
    check (status <> 'succeeded' or cells_failed = 0)
) with (fillfactor = 70);
comment on table crawl_run is 'The run history: one row per execution of the crawl, and one per tick that was skipped.';
comment on column crawl_run.crawl_run_id is 'Key, growing with time.';
comment on column crawl_run.trigger is 'schedule: on its tick (at most 60 s late); catch_up: later; manual: by hand.';
comment on column crawl_run.scheduled_for is 'The tick that it serves, in whole seconds; null for a run by hand.';
comment on column crawl_run.status is 'running, interrupted (will be resumed), succeeded (every cell done), partial (cells failed), failed (cannot go on), skipped (tick not run).';
comment on column crawl_run.reason is 'Why it has this status, in words.';
comment on column crawl_run.coverage is 'station: one search around every station; complete: every place.';
comment on column crawl_run.scope is 'The stations and keywords that a run by hand was limited to; null: everything.';
comment on column crawl_run.started_at is 'When it first started; for a skipped tick, when that was recorded.';
comment on column crawl_run.finished_at is 'When its status became final; null while it is running or interrupted.';
comment on column crawl_run.heartbeat_at is 'When it last showed life.';
comment on column crawl_run.resumed_count is 'How often it was taken up again; fences off a process that lost it.';
comment on column crawl_run.stalled_count is 'How often in a row it was taken up again without getting any further.';
comment on column crawl_run.resume_at is 'From when on an interrupted run is resumed; in a failed one, that the next start of a daemon tries it again.';
comment on column crawl_run.cells_total is 'Cells in its ledger.';
comment on column crawl_run.cells_done is 'Cells whose pages are all stored.';
comment on column crawl_run.cells_split is 'Cells that were divided into smaller ones.';
comment on column crawl_run.cells_failed is 'Cells that failed twice.';
comment on column crawl_run.cells_pending is 'Cells still to be done.';
comment on column crawl_run.cells_truncated is 'Done cells for which the API found more places than it showed.';
comment on column crawl_run.requests is 'Requests sent for its stored outcomes.';
comment on column crawl_run.retries is 'Requests of these that repeated a failed one.';
comment on column crawl_run.throttled is 'Requests of these that were answered 429.';
comment on column crawl_run.documents_rejected is 'Documents left out because they had no id or no position.';
comment on column crawl_run.places_seen is 'Different places that it found; counted when it ends or is interrupted.';
comment on column crawl_run.places_new is 'Places that were not stored before.';
comment on column crawl_run.places_changed is 'Stored places whose content changed.';
comment on column crawl_run.places_missed is 'Places that a complete search should have found and did not.';
comment on column crawl_run.places_closed is 'Places that it closed.';
comment on column crawl_run.places_reopened is 'Closed places that it found again.';
comment on column crawl_run.settings is 'The settings it works with, without secrets.';
comment on column crawl_run.version is 'Version of the program that last worked on it.';
comment on column crawl_run.host is 'Host that last worked on it.';
create index crawl_run_unfinished on crawl_run (crawl_run_id) where status in ('running', 'interrupted');

create table crawl_cell (
    crawl_run_id bigint not null references crawl_run on delete cascade,
    cell_no integer not null,
    keyword_id integer not null references keyword,
    station_id integer not null references station,
    radius_m integer not null,
    status text not null default 'pending' check (status in ('pending', 'done', 'split', 'failed')),
    chances smallint not null default 0,
    total_count integer,
    pages integer not null default 0,
    places integer not null default 0,
    truncated boolean not null default false,
    attempts integer not null default 0,
    error text,
    primary key (crawl_run_id, cell_no)
) with (fillfactor = 70);
comment on table crawl_cell is 'One cell of a run, one keyword around one station: the ledger and the checkpoint.';
comment on column crawl_cell.crawl_run_id is 'The run.';
comment on column crawl_cell.cell_no is 'Number within the run, from 1 on, in the order of work.';
comment on column crawl_cell.keyword_id is 'What is searched for.';
comment on column crawl_cell.station_id is 'Around which station.';
comment on column crawl_cell.radius_m is 'Within how many metres.';
comment on column crawl_cell.status is 'pending; done: all its pages are stored; split: divided into other cells; failed: failed twice.';
comment on column crawl_cell.chances is 'How often it has failed.';
comment on column crawl_cell.total_count is 'Matches that the API found.';
comment on column crawl_cell.pages is 'Pages that were read.';
comment on column crawl_cell.places is 'Places on these pages.';
comment on column crawl_cell.truncated is 'Whether the API found more places than it showed.';
comment on column crawl_cell.attempts is 'Requests sent for it.';
comment on column crawl_cell.error is 'Why it failed the last time.';

create table api_usage (
    day date primary key,
    requests integer not null check (requests >= 0)
);
comment on table api_usage is 'Requests sent on one day in Seoul. Reserved in advance, so after a crash it may say a few too many, never too few.';
comment on column api_usage.day is 'Day in Seoul.';
comment on column api_usage.requests is 'Requests sent or reserved.';

create table daemon (
    daemon_id bigint generated always as identity primary key,
    host text not null,
    version text not null,
    started_at timestamptz not null,
    beat_at timestamptz not null,
    next_tick timestamptz
) with (fillfactor = 70);
comment on table daemon is 'One running daemon, stamped every 30 seconds; removed when it stops, or when it has been silent for a day.';
comment on column daemon.daemon_id is 'Key.';
comment on column daemon.host is 'Where it runs.';
comment on column daemon.version is 'Version of the program.';
comment on column daemon.started_at is 'When it started.';
comment on column daemon.beat_at is 'When it last showed life.';
comment on column daemon.next_tick is 'When the next run is due; null where it never starts one.';
