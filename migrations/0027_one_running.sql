-- Whatever processes decide, and however late they carry it out: at most one run is at work.

update crawl_run set status = 'interrupted', resume_at = heartbeat_at, reason = 'another run was at work'
where status = 'running' and crawl_run_id < (select max(crawl_run_id) from crawl_run where status = 'running');
-- A process that was stopped just before it began a run may have lost the run lock in the meantime.
create unique index crawl_run_one_running on crawl_run (status) where status = 'running';

-- A machine whose clock is days ahead must not fight with the others about which ticks have run.
alter table daemon add column seen_at timestamptz not null default clock_timestamp();
comment on column daemon.seen_at is 'The time of the heartbeat by the clock of the database; heartbeat_at is by that of the daemon''s machine.';
