-- The indexes over expressions, or of some rows, of the tables $1 with their partitions. Whether each is a btree. Locks: none.
SELECT i.indexrelid::int8, i.indexrelid::regclass::text, m.amname = 'btree'
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relkind = 'i'
JOIN pg_am AS m ON m.oid = c.relam
WHERE i.indisvalid AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
  AND i.indrelid IN (SELECT coalesce(p.relid::oid, to_regclass(n)::oid)
                     FROM unnest($1::text[]) AS n LEFT JOIN pg_partition_tree(to_regclass(n)) AS p ON true)
ORDER BY 2
