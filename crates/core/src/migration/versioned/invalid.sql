-- Indexes that no query uses since their build failed or is under way: name, and qualified name as SQL has it. Indexes of
-- partitioned tables are not among them: they wait for those of their partitions, which may be meant.
-- Locks: none.
SELECT c.relname::text, pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_index AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE NOT i.indisvalid AND c.relkind = 'i'
ORDER BY 2
