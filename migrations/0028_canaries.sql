-- What the first requests of a run found.

alter table crawl_run add canaries jsonb;
comment on column crawl_run.canaries is 'Where the API differed from what the run relies on, as its first requests found: {"requests": 12, "findings": [{"check": "rect", "consequence": "by_station", "text": "…"}], "is_finished": true}. The consequence is warning, no_closings, no_openings, by_station or no_run. Null: they were not sent.';
