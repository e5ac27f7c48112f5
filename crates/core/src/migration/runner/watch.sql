-- What session $1 is doing: the phase of its index build with the units done and to do, and whom it waits for.
-- Locks: none.
SELECT coalesce(p.phase, '') AS phase,
       CASE WHEN p.blocks_total > 0 THEN p.blocks_done WHEN p.tuples_total > 0 THEN p.tuples_done ELSE p.lockers_done END AS done,
       CASE WHEN p.blocks_total > 0 THEN p.blocks_total WHEN p.tuples_total > 0 THEN p.tuples_total ELSE p.lockers_total END AS total,
       ARRAY(SELECT format('pid %s (%s%s%s)', a.pid, coalesce(a.usename, a.backend_type, 'autovacuum worker'),
                           ', ' || extract(epoch FROM clock_timestamp() - a.xact_start)::int::text || ' s old',
                           ', ' || left(regexp_replace(nullif(a.query, ''), '\s+', ' ', 'g'), 60))
             FROM pg_stat_activity AS a WHERE a.pid = ANY (pg_blocking_pids($1)) ORDER BY a.pid)
       -- A prepared transaction blocks as pid 0, and which one it is is not said.
       || ARRAY(SELECT format('prepared transaction %L (%s, %s s old; COMMIT PREPARED or ROLLBACK PREPARED ends it)', x.gid,
                              x.owner, extract(epoch FROM clock_timestamp() - x.prepared)::int)
                FROM pg_prepared_xacts AS x
                WHERE 0 = ANY (pg_blocking_pids($1)) AND x.database = current_database() ORDER BY x.prepared) AS blockers
FROM (VALUES ($1::int)) AS watched (pid)
LEFT JOIN pg_stat_progress_create_index AS p ON p.pid = watched.pid
