#!/bin/sh
# The entry point of the replica: it copies the database at its first start, and follows it from then on.
set -eu
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
    export PGPASSWORD
    # A copy that was interrupted is incomplete, and the primary may still be starting.
    until find "$PGDATA" -mindepth 1 -delete && pg_basebackup --host database --username replica --pgdata "$PGDATA" \
        --write-recovery-conf --checkpoint fast --create-slot --slot replica; do
        psql --host database --username replica --dbname "$POSTGRES_DB" --quiet \
            --command "select pg_drop_replication_slot('replica')" >/dev/null 2>&1 || true
        sleep 2
    done
fi
exec postgres -c listen_addresses='*' -c hot_standby_feedback=on
