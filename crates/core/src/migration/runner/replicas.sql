-- How much WAL there is, how much of it the replica that is furthest behind has replayed (NULL where there is none), and
-- its name. A base backup and an archiver of WAL replay nothing. Locks: none.
SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::int8 AS written,
       pg_wal_lsn_diff(r.replay_lsn, '0/0')::int8 AS replayed,
       format('%s (pid %s%s)', r.application_name, r.pid, ', ' || host(r.client_addr)) AS replica
FROM (VALUES (1)) AS one (n)
LEFT JOIN LATERAL (
    SELECT * FROM pg_stat_replication WHERE replay_lsn IS NOT NULL ORDER BY replay_lsn LIMIT 1
) AS r ON true
