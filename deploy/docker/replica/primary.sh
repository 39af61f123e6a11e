#!/bin/sh
# The image of PostgreSQL runs this once, when it creates the database: the replica may connect and copy it. In a database that is
# there already, run it by hand (../../README.md, Container).
set -eu
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --quiet --set ON_ERROR_STOP=1 \
    --command "create role replica login replication password '$(cat "$POSTGRES_PASSWORD_FILE")'"
echo 'host replication replica all scram-sha-256' >>"$PGDATA/pg_hba.conf"
