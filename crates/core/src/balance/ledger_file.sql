-- Which files the ledger is in. Only TRUNCATE and a rewrite change them. $1: the ledger.
-- Locks: nothing.
SELECT coalesce(string_agg(pg_relation_filenode(t.relid)::text, ',' ORDER BY t.relid), '')
FROM (SELECT to_regclass($1)::oid AS relid UNION SELECT relid::oid FROM pg_partition_tree(to_regclass($1))) AS t
