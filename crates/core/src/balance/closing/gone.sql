-- The partitions that closing $1 knows and that are no partitions of the ledger $2 any more, the newest entries last.
-- Locks: nothing but the catalog's own.
SELECT concat_ws('.', nullif(k.schema_name, 'public'), k.table_name) AS name, k.bounds, k.newest_at
FROM stockfoil.closing_partition AS k
WHERE k.closing_id = $1 AND k.relation NOT IN (SELECT relid::bigint FROM pg_partition_tree(to_regclass($2)))
ORDER BY k.newest_at NULLS FIRST, 1
