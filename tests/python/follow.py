"""Keeps a copy of all open places in step: python3 follow.py SOURCE COPY, with the URLs of two databases."""

import sys
import time

import psycopg
from psycopg.rows import namedtuple_row

TABLES = """
    create table if not exists copied_place (place_id text primary key, name text, phone text,
        latitude float8, longitude float8, stations text[], keywords text[]);
    create table if not exists copied_until (version bigint);
    insert into copied_until select 0 where not exists (select from copied_until)"""
FEED = "select * from sanggwond.place_feed(%s, 1000)"
PUT = """
    insert into copied_place values (%(place_id)s, %(name)s, %(phone)s,
        %(latitude)s, %(longitude)s, %(stations)s, %(keywords)s)
    on conflict (place_id) do update set (name, phone, latitude, longitude, stations, keywords)
        = row (excluded.name, excluded.phone, excluded.latitude, excluded.longitude, excluded.stations, excluded.keywords)"""
REMOVE = "delete from copied_place where place_id = %(place_id)s"


def follow(source, copy):
    """Reads until nothing is new."""
    after = copy.execute("select version from copied_until").fetchone().version
    while rows := source.execute(FEED, [after]).fetchall():
        after = rows[-1].version
        # The rows together with their version: after a crash, the same page is read again.
        with copy.transaction():
            for row in rows:
                # Closed, or deleted by `sanggwond purge`.
                copy.execute(REMOVE if row.is_deleted else PUT, row._asdict())
            copy.execute("update copied_until set version = %s", [after])


if __name__ == "__main__":
    # With autocommit, so that an idle follower holds no locks.
    source, copy = (psycopg.connect(url, autocommit=True, row_factory=namedtuple_row) for url in sys.argv[1:])
    copy.execute(TABLES)
    while True:
        follow(source, copy)
        time.sleep(1)
