-- Roles past row-level security that have sessions in this database now, but for those of the operations role, of
-- Stockfoil's commands ($7) and of the server's own client programs. Locks: none.
WITH g AS ({given})
SELECT 'sessions of ' || r.rolname, false,
       format('%s now, of %s; the role %s', CASE count(*) WHEN 1 THEN '1 session' ELSE count(*)::text || ' sessions' END,
              string_agg(DISTINCT coalesce(nullif(a.application_name, ''), 'an application without a name'), ', '),
              CASE WHEN r.rolsuper THEN 'is a superuser, whom nothing binds' WHEN r.rolbypassrls THEN 'bypasses row-level security'
                   ELSE 'owns tables, or can become their owner, and can take their row-level security away' END),
       format('let the application log in as a member of %s', g.app_name),
       -- How many there are, and of what, is another thing each time.
       r.rolname::text
FROM g, pg_stat_activity AS a
JOIN pg_roles AS r ON r.oid = a.usesysid
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND coalesce(a.backend_type, 'client backend') = 'client backend'
  AND (r.rolsuper OR r.rolbypassrls OR EXISTS (SELECT FROM unnest(g.owners) AS o WHERE pg_has_role(r.oid, o, 'MEMBER')))
  AND (r.rolsuper OR r.oid IS DISTINCT FROM g.ops AND NOT (r.rolbypassrls AND coalesce(pg_has_role(r.oid, g.ops, 'MEMBER'), false)))
  AND split_part(a.application_name, ' ', 1) <> ALL ($7::text[])
  AND a.application_name !~ '^(psql|pg_(dump|dumpall|restore|basebackup|receivewal|amcheck|recvlogical)|vacuumdb|reindexdb|clusterdb|pgbackrest.*|barman.*)$'
GROUP BY r.rolname, r.rolsuper, r.rolbypassrls, g.app_name
ORDER BY 1
