-- Where the time of a run went.

alter table crawl_run
    add requests_s double precision not null default 0 check (requests_s >= 0),
    add pauses_s jsonb not null default '{}',
    add database_s double precision not null default 0 check (database_s >= 0),
    add page_delays_s double precision not null default 0 check (page_delays_s >= 0);
comment on column crawl_run.requests_s is 'Seconds in which a request was in flight and requests were not paused. Each moment counts in one of these columns; recording the final status is not included.';
comment on column crawl_run.pauses_s is 'Seconds in which requests were paused, by the outcome that caused the pause: {"throttled": 3.1}.';
comment on column crawl_run.database_s is 'Seconds in which no request was in flight and the database was read or written; opening and reviewing the run included.';
comment on column crawl_run.page_delays_s is 'Seconds in which no request was in flight, none was paused, and the database was idle: open cells waited for the pause between two pages, or for the rate limit.';
