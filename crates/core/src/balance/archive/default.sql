-- The default partition of the ledger $1, if it has one.
-- Locks: nothing but the catalog's own.
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_partitioned_table AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.partdefid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE p.partrelid = to_regclass($1)
