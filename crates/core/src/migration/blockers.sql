-- Transactions older than $2 ms that hold a lock on one of the tables $1. Locks: none.
SELECT DISTINCT a.pid,
       a.backend_type = 'autovacuum worker' AS autovacuum,
       format('pid %s (%s, %s s old%s)', a.pid, coalesce(a.usename, a.backend_type),
              extract(epoch FROM clock_timestamp() - a.xact_start)::int,
              ', ' || left(regexp_replace(nullif(a.query, ''), '\s+', ' ', 'g'), 60)) AS description
FROM pg_locks l
JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'relation' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT to_regclass(t) FROM unnest($1::text[]) t)
  AND a.pid <> pg_backend_pid()
  AND a.xact_start < clock_timestamp() - make_interval(secs => $2 / 1000.0)
ORDER BY a.pid
