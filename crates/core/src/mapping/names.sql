-- The tables of the schemas $1, to find the one that a wrong name means. Locks: none beyond the catalog's own.
SELECT n.nspname::text, c.relname::text
FROM pg_namespace n
JOIN pg_class c ON c.relnamespace = n.oid
WHERE n.nspname = ANY ($1::text[]) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY 1, 2
