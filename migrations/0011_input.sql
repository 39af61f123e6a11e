-- Names in one form, and why a run began late.

alter table crawl_run add late_because text;
comment on column crawl_run.late_because is 'What kept the daemon from opening the run before, and from when to when; null where nothing did.';

-- Names and keywords are composed (NFC) from now on. What an earlier version stored otherwise would count as another one.
update keyword set query = normalize(query)
where keyword_id in (select min(keyword_id) from keyword where query is not normalized group by normalize(query))
    and not exists (select from keyword other where other.query = normalize(keyword.query));
update station set name = normalize(name), region = normalize(region)
where name is not normalized or region is not normalized;
