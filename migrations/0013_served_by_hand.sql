-- A full run by hand that was started after a tick serves it.

comment on column crawl_run.scheduled_for is 'The tick that it serves, in whole seconds; null for a run by hand that serves none.';
comment on column run_history.due is 'The tick that it serves, in Seoul; null for a run by hand that serves none.';
