-- The children by inheritance of table $1 that are no partitions. Locks: none.
SELECT string_agg(regexp_replace(h.inhrelid::regclass::text, '^public\.', ''), ', ' ORDER BY h.inhrelid::regclass::text)
FROM pg_inherits AS h
JOIN pg_class AS c ON c.oid = h.inhparent AND c.relkind = 'r'
WHERE h.inhparent = to_regclass($1) AND h.inhrelid <> ALL (ARRAY(SELECT to_regclass(n)::oid FROM unnest($2::text[]) AS n WHERE to_regclass(n) IS NOT NULL))
