-- The tables $2 in the schemas $1, pairwise: which of them are there, and what they are:
-- a partition, or as pg_class.relkind has it.
-- Locks: none beyond the catalog's own.
SELECT n.nspname::text AS schema, c.relname::text AS name,
       CASE WHEN c.relispartition THEN 'partition' ELSE c.relkind::text END AS kind
FROM unnest($1::text[], $2::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
