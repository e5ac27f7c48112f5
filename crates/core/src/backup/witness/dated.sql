-- The tables that say when their rows were made, by a column created_at: schema and name.
-- Locks: none.
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND a.attname = 'created_at' AND a.atttypid = 'timestamptz'::regtype AND NOT a.attisdropped
