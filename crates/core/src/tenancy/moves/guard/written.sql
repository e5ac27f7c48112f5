-- How many rows of each table with a column $1 the transaction has changed or deleted so far, all partitions together; $2, the
-- balances where they follow the ledger, and Stockfoil's own are left out. Locks: none.
SELECT n.nspname::text, c.relname::text, sum(s.n_tup_upd + s.n_tup_del)::bigint
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT c.oid AS relid UNION SELECT t.relid::oid FROM pg_partition_tree(c.oid) AS t) AS part
JOIN pg_stat_xact_user_tables AS s ON s.relid = part.relid
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't' AND n.nspname NOT IN ('stockfoil', 'pg_catalog')
  AND c.oid IS DISTINCT FROM to_regclass($2)::oid
  AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = $1 AND NOT a.attisdropped)
GROUP BY 1, 2
HAVING sum(s.n_tup_upd + s.n_tup_del) > 0
