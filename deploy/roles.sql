-- A role that reads and one that writes, each with no more rights than it needs.
--
-- Run by the owner of the tables after `sanggwond migrate`, and again after each later one, as often as you like:
--     psql -v ON_ERROR_STOP=1 -f deploy/roles.sql "$DATABASE_URL"
-- Both are groups without a login. `create role app login password '…' in role sanggwond_reader` makes a member.
--
-- sanggwond_reader: reads every table and view, and calls place_near.
-- sanggwond_writer: what the daemon, crawl and purge do. It makes no tables: `migrate` stays with the owner.

do $$
declare
    role_name text;
begin
    foreach role_name in array array['sanggwond_reader', 'sanggwond_writer'] loop
        begin
            execute format('create role %I nologin', role_name);
        exception
            -- The second: it is being made in another database of the same server right now.
            when duplicate_object or unique_violation then null;
        end;
    end loop;
end
$$;

-- What an earlier version of this file granted, and this one does not.
revoke all on schema sanggwond from sanggwond_reader, sanggwond_writer;
revoke all on all tables in schema sanggwond from sanggwond_reader, sanggwond_writer;
revoke all on all sequences in schema sanggwond from sanggwond_reader, sanggwond_writer;
revoke all on all functions in schema sanggwond from sanggwond_reader, sanggwond_writer;

grant usage on schema sanggwond to sanggwond_reader, sanggwond_writer;
grant select on all tables in schema sanggwond to sanggwond_reader, sanggwond_writer;
grant execute on function sanggwond.place_near, sanggwond.box_around, sanggwond.metres_between
    to sanggwond_reader, sanggwond_writer;

-- The ground, the places, the history. Rows are locked by who updates them.
grant insert, update on sanggwond.station, sanggwond.keyword to sanggwond_writer;
grant insert, update, delete on sanggwond.place, sanggwond.place_keyword, sanggwond.listing, sanggwond.station_keyword
    to sanggwond_writer;
grant insert, delete on sanggwond.place_change to sanggwond_writer;
grant insert, update, delete on sanggwond.crawl_run, sanggwond.crawl_cell, sanggwond.daemon to sanggwond_writer;
grant insert, update on sanggwond.api_usage to sanggwond_writer;
