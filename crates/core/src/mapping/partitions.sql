-- The partitions of table $1 at every level, and what they are; none of a table that is not partitioned.
-- Locks: none beyond the catalog's own.
SELECT n.nspname::text, c.relname::text, c.relkind::text
FROM pg_partition_tree(to_regclass($1)) AS tree
JOIN pg_class c ON c.oid = tree.relid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE tree.relid <> to_regclass($1)
ORDER BY tree.level, 1, 2
