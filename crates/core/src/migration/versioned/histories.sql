-- Tables in which other tools may note what they ran, by their names: schema, table, the columns that may hold a name, a
-- number or 'dirty', whether a column is one that only such tools have, what would let this role read them (nothing where it
-- may), and whether files may be meant for their schema: the search path names it, or the role may create in it.
-- Locks: none.
SELECT n.nspname::text AS schema, c.relname::text AS table,
       array_agg(a.attname::text ORDER BY a.attnum) FILTER (WHERE k.may_tell) AS columns,
       bool_or(lower(a.attname) IN ('checksum', 'hash', 'md5', 'md5sum', 'script', 'batch', 'installed_on', 'installed_by',
                                    'installed_rank', 'applied_at', 'applied_on', 'applied_at_utc', 'executed_at', 'executed_on',
                                    'execution_time', 'dateexecuted', 'run_at', 'run_on', 'migrated_at', 'migration_time',
                                    'finished_at', 'is_applied', 'tstamp', 'dirty')) AS has_mark,
       array_remove(ARRAY[
           CASE WHEN NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                THEN format('GRANT USAGE ON SCHEMA %I TO %I', n.nspname, current_user) END,
           CASE WHEN NOT bool_and(pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')) FILTER (WHERE k.may_tell)
                THEN format('GRANT SELECT ON %I.%I TO %I', n.nspname, c.relname, current_user) END,
           -- Rows that are hidden are an error in this session.
           CASE WHEN pg_catalog.row_security_active(c.oid)
                THEN format('ALTER ROLE %I BYPASSRLS, for the row security of %I.%I', current_user, n.nspname, c.relname) END], NULL) AS grants,
       pg_catalog.has_schema_privilege(n.oid, 'CREATE') OR EXISTS (
           SELECT
           FROM unnest(string_to_array(current_setting('search_path'), ',')) AS s (part)
           WHERE n.nspname = CASE btrim(s.part, ' "') WHEN '$user' THEN current_user::text
                                  ELSE replace(btrim(s.part, ' "'), '""', '"') END) AS is_near
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
CROSS JOIN LATERAL (
    SELECT t.typcategory IN ('S', 'N') OR (t.typcategory = 'B' AND a.attname = 'dirty') AS may_tell
) AS k
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND c.relname <> '_sqlx_migrations'
  AND c.relname ~* 'migration|(schema|db|database)_?(version|histor|change|revision)|changelog|sequelizemeta|play_evolutions'
  AND n.nspname NOT IN ('stockfoil', 'pg_catalog', 'information_schema')
GROUP BY n.oid, n.nspname, c.oid, c.relname
HAVING bool_or(t.typcategory IN ('S', 'N'))
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
