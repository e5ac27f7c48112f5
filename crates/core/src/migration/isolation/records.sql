-- Stockfoil's own tables and sequences: their kind and name. Locks: none.
SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.relname::text
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace('stockfoil') AND c.relkind IN ('r', 'p', 'S') AND c.relname NOT LIKE 'default\_org\_%'
ORDER BY 2
