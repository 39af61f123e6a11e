-- A role that reads and one that writes, each with no more rights than it needs.
--
-- Run by the owner of the tables after `sanggwond migrate`, and again after each later one, as often as you like:
--     psql -v ON_ERROR_STOP=1 -f deploy/roles.sql "$DATABASE_URL"
-- The first time the owner needs CREATEROLE, to create the roles: a superuser grants it with `alter role … createrole`.
-- All are groups without a login. `create role app login password '…' in role sanggwond_reader` makes a member.
--
-- sanggwond_owner: the owner of the tables becomes a member. Readers and writers refuse tables of anybody else.
-- sanggwond_reader: reads every table and view, and calls place_near, place_search, station_search and place_feed.
-- sanggwond_writer: what the daemon, crawl and purge do. It makes no tables: `migrate` stays with the owner.
-- sanggwond_requester: requests runs from the daemons (request_run), and nothing else. Grant it beside sanggwond_reader.

do $$
declare
    role_name text;
begin
    foreach role_name in array array['sanggwond_reader', 'sanggwond_writer', 'sanggwond_requester', 'sanggwond_owner'] loop
        continue when exists (select from pg_roles where rolname = role_name);
        begin
            execute format('create role %I nologin', role_name);
        exception
            -- The second: it is being made in another database of the same server right now.
            when duplicate_object or unique_violation then null;
            when insufficient_privilege then
                raise insufficient_privilege using message = format(
                    '%I may not create the role %I; let a superuser run: alter role %1$I createrole', current_user, role_name);
        end;
    end loop;
end
$$;

do $$
declare
    owner constant name := (select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'sanggwond');
begin
    -- A superuser is trusted anyway, and counts as a member of everything.
    if not pg_has_role(owner, 'sanggwond_owner', 'member') then
        execute format('grant sanggwond_owner to %I', owner);
    end if;
exception
    when insufficient_privilege then
        raise insufficient_privilege using message = format(
            '%I may not make %I a member of sanggwond_owner; let a superuser run: grant sanggwond_owner to %2$I',
            current_user, owner);
end
$$;

-- What an earlier version of this file granted, and this one does not.
revoke all on schema sanggwond from sanggwond_reader, sanggwond_writer, sanggwond_requester;
revoke all on all tables in schema sanggwond from sanggwond_reader, sanggwond_writer, sanggwond_requester;
revoke all on all sequences in schema sanggwond from sanggwond_reader, sanggwond_writer, sanggwond_requester;
revoke all on all functions in schema sanggwond from sanggwond_reader, sanggwond_writer, sanggwond_requester;

grant usage on schema sanggwond to sanggwond_reader, sanggwond_writer, sanggwond_requester;
grant select on all tables in schema sanggwond to sanggwond_reader, sanggwond_writer;
grant execute on function sanggwond.place_content to sanggwond_writer;
grant execute on function sanggwond.place_near, sanggwond.place_search, sanggwond.station_search, sanggwond.place_feed,
    sanggwond.box_around, sanggwond.metres_between, sanggwond.folded, sanggwond.name_pieces,
    sanggwond.typed_pattern
    to sanggwond_reader, sanggwond_writer;

-- The ground, the places, the history. Rows are locked by who updates them.
grant insert, update on sanggwond.station, sanggwond.keyword to sanggwond_writer;
grant insert, update, delete on sanggwond.place, sanggwond.place_doubt, sanggwond.place_keyword, sanggwond.listing,
    sanggwond.station_keyword
    to sanggwond_writer;
grant insert, delete on sanggwond.place_change to sanggwond_writer;
grant insert, update, delete on sanggwond.crawl_run, sanggwond.crawl_cell, sanggwond.daemon to sanggwond_writer;
grant insert, update on sanggwond.api_usage to sanggwond_writer;
grant insert, update on sanggwond.schedule_pause to sanggwond_writer;
grant update on sanggwond.run_request to sanggwond_writer;
grant insert, update, delete on sanggwond.notice to sanggwond_writer;
grant execute on function sanggwond.request_run to sanggwond_requester, sanggwond_writer;
