-- Tables of applied versions in sqlx's shape and under its usual name: those that this role may read, and the one that
-- its search path finds; whether it may be read. Locks: none.
SELECT n.nspname::text,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relname = '_sqlx_migrations' AND c.relkind = 'r' AND c.relpersistence <> 't'
  AND (pg_catalog.pg_table_is_visible(c.oid)
       OR (pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')))
  AND 5 = (SELECT count(*)
           FROM pg_catalog.pg_attribute AS a
           JOIN (VALUES ('version', 'bigint'), ('description', 'text'), ('installed_on', 'timestamp with time zone'),
                        ('checksum', 'bytea'), ('execution_time', 'bigint')) AS w (name, type)
             ON w.name = a.attname AND w.type = pg_catalog.format_type(a.atttypid, a.atttypmod)
           WHERE a.attrelid = c.oid AND NOT a.attisdropped)
ORDER BY n.nspname COLLATE "C"
