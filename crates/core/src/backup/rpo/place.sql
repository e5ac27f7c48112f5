-- Where this server's WAL is, and whether it recovers.
-- Locks: none.
SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END::text,
       pg_catalog.pg_is_in_recovery()
