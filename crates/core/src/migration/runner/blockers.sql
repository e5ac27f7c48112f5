-- Transactions that hold a lock of the modes $2 on one of the tables $1 or of their partitions, with their age in ms where
-- it is known: the server hides the sessions of others from a role that may not read all of them.
-- Autovacuum, which has no role, yields, unless it guards against wraparound. Locks: none.
SELECT l.virtualtransaction, (extract(epoch FROM clock_timestamp() - a.xact_start) * 1000)::bigint AS age_ms,
       a.usename IS NULL AND a.query NOT LIKE '%(to prevent wraparound)' AS yields,
       format('pid %s (%s%s%s)', a.pid, coalesce(a.usename, a.backend_type, 'autovacuum worker'),
              ', ' || extract(epoch FROM clock_timestamp() - a.xact_start)::int::text || ' s old',
              ', ' || left(regexp_replace(nullif(a.query, ''), '\s+', ' ', 'g'), CASE WHEN a.usename IS NULL THEN 200 ELSE 60 END)) AS description
FROM pg_stat_activity AS a
JOIN (
    SELECT DISTINCT l.pid, l.virtualtransaction FROM pg_locks AS l
    WHERE l.locktype = 'relation' AND l.granted AND l.mode = ANY ($2)
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t
                         UNION SELECT p.relid FROM unnest($1::text[]) AS t, pg_partition_tree(to_regclass(t)) AS p)
) AS l ON l.pid = a.pid
WHERE a.pid <> pg_backend_pid()
UNION ALL
-- A prepared transaction has no session, and no one but its coordinator may know that it is there. Its locks carry the
-- virtual id of the session that prepared it; its own id tells whose they are.
SELECT DISTINCT l.virtualtransaction,
       (extract(epoch FROM clock_timestamp() - x.prepared) * 1000)::bigint, false,
       format('prepared transaction %L (%s, %s s old; COMMIT PREPARED or ROLLBACK PREPARED ends it)', x.gid, x.owner,
              extract(epoch FROM clock_timestamp() - x.prepared)::int)
FROM pg_prepared_xacts AS x
JOIN pg_locks AS own ON own.locktype = 'transactionid' AND own.transactionid = x.transaction AND own.granted AND own.pid IS NULL
JOIN pg_locks AS l ON l.pid IS NULL AND l.virtualtransaction = own.virtualtransaction
WHERE x.database = current_database()
  AND l.locktype = 'relation' AND l.granted AND l.mode = ANY ($2)
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t
                     UNION SELECT p.relid FROM unnest($1::text[]) AS t, pg_partition_tree(to_regclass(t)) AS p)
ORDER BY description
