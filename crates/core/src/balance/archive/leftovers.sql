-- What an interrupted archive left: its record, its replacement where that is there and no partition, and the fence of the default
-- partition.
-- Locks: nothing.
SELECT a.id, n.nspname::text AS schema_name, c.relname::text AS table_name,
       fn.nspname::text AS fence_schema, f.relname::text AS fence_table, k.conname::text AS fence_name
FROM stockfoil.archived_partition AS a
LEFT JOIN pg_catalog.pg_class AS c ON c.oid = a.replacement AND NOT c.relispartition
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_constraint AS k ON k.oid = a.fence
LEFT JOIN pg_catalog.pg_class AS f ON f.oid = k.conrelid
LEFT JOIN pg_catalog.pg_namespace AS fn ON fn.oid = f.relnamespace
WHERE a.archived_at IS NULL
ORDER BY a.id
