-- The column or expression that the index $1 begins with, and the statement that drops it, with the partitioned one
-- that it is a part of and the constraint that owns that. Locks: none.
SELECT pg_get_indexdef(i.indexrelid, 1, false),
       CASE WHEN k.oid IS NULL THEN format('DROP INDEX %s CASCADE', r.root)
            ELSE format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', k.conrelid::regclass, k.conname) END
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
CROSS JOIN LATERAL (SELECT coalesce(pg_partition_root(c.oid)::oid, c.oid)::regclass AS root) AS r
LEFT JOIN pg_constraint AS k ON k.conindid = r.root AND k.contype IN ('p', 'u', 'x')
WHERE c.relname = $1
ORDER BY pg_table_is_visible(c.oid) DESC, c.oid
LIMIT 1
