-- What the API says of known places and is not believed at once.

create table place_doubt (
    crawl_run_id bigint not null references crawl_run on delete cascade,
    place_id text not null references place on delete cascade,
    kind text not null check (kind in ('moved', 'nameless', 'blanked')),
    content jsonb not null,
    primary key (crawl_run_id, place_id)
);
comment on table place_doubt is 'New content of a known place that a run does not believe at once. At its end the run confirms it by a search for the name, or drops it; the rows go when the run is closed.';
comment on column place_doubt.crawl_run_id is 'The run that received it.';
comment on column place_doubt.place_id is 'The place.';
comment on column place_doubt.kind is 'moved: more than 2 km; nameless: without its name; blanked: without a phone number, an address, a category or a page that it had.';
comment on column place_doubt.content is 'The content as it was received.';
