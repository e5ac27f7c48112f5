-- Which of the tables $1, and of their partitions and children, are UNLOGGED: schema and name.
-- Locks: none.
WITH RECURSIVE tree AS (
    SELECT pg_catalog.to_regclass(name)::oid AS oid FROM unnest($1::text[]) AS name
    UNION
    SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid
)
SELECT n.nspname::text, c.relname::text
FROM tree
JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relpersistence = 'u'
ORDER BY 1, 2
