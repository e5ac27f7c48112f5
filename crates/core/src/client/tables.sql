-- The tables of some schemas: no partitions, no tables of extensions, not sqlx's record of versions.
-- Locks: none but those of reading the catalog.
SELECT n.nspname::text, c.relname::text, obj_description(c.oid, 'pg_class')
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1)
  AND c.relkind IN ('r', 'p', 'f')
  AND NOT c.relispartition
  AND c.relname <> '_sqlx_migrations'
  AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_depend d
      WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY n.nspname COLLATE "C", c.relname COLLATE "C"
