-- Tables in which other tools may note what they ran, by their names: schema, table, the columns that may hold a name, a
-- number or 'dirty', and whether a column is one that only such tools have. Of those that this role may read. Locks: none.
SELECT n.nspname::text, c.relname::text,
       array_agg(a.attname::text ORDER BY a.attnum)
           FILTER (WHERE t.typcategory IN ('S', 'N') OR (t.typcategory = 'B' AND a.attname = 'dirty')),
       bool_or(lower(a.attname) IN ('checksum', 'hash', 'md5', 'md5sum', 'script', 'batch', 'installed_on', 'installed_by',
                                    'installed_rank', 'applied_at', 'applied_on', 'applied_at_utc', 'executed_at', 'executed_on',
                                    'execution_time', 'dateexecuted', 'run_at', 'run_on', 'migrated_at', 'migration_time',
                                    'finished_at', 'is_applied', 'tstamp', 'dirty'))
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.relname <> '_sqlx_migrations'
  AND c.relname ~* 'migration|(schema|db|database)_?(version|histor|change|revision)|changelog|sequelizemeta|play_evolutions'
  AND n.nspname NOT IN ('stockfoil', 'pg_catalog', 'information_schema')
  AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
GROUP BY n.nspname, c.relname
HAVING bool_or(t.typcategory IN ('S', 'N'))
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
