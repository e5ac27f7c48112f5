-- A session that would have to be waited for, and for what: it holds one of the tables $1 in a transaction that is not new, or its
-- snapshot is older than transaction $2, so that it would see the new table without its entries.
-- Locks: nothing.
SELECT format('session %s (%s)', a.pid, CASE WHEN l.pid IS NULL THEN 'its snapshot is older than the replacement'
                                             ELSE 'its transaction holds ' || l.relation::regclass END)
FROM pg_catalog.pg_stat_activity AS a
LEFT JOIN LATERAL (
    SELECT l.pid, l.relation
    FROM pg_catalog.pg_locks AS l
    WHERE l.pid = a.pid AND l.granted AND l.relation = ANY (SELECT to_regclass(name)::oid FROM unnest($1::text[]) AS name)
      AND a.xact_start < clock_timestamp() - interval '500 ms'
    LIMIT 1
) AS l ON true
WHERE a.pid <> pg_backend_pid() AND a.datname = current_database()
  AND (l.pid IS NOT NULL
       OR a.backend_type = 'client backend' AND age(a.backend_xmin) > age($2::text::xid8::xid))
LIMIT 1
