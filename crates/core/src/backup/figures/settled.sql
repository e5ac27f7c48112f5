-- A moment before which no transaction of this database is under way: the start of the oldest one, or now.
-- Locks: none.
SELECT least(
    clock_timestamp(),
    (SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()),
    (SELECT min(prepared) FROM pg_prepared_xacts WHERE database = current_database())
)
