-- The triggers of the tables $1 and of their partitions whose function ran in no session that was counted. Locks: none
-- beyond the catalog's own.
SELECT DISTINCT g.tgname::text, regexp_replace(c.oid::regclass::text, '^public\.', '')
FROM pg_trigger AS g
JOIN pg_class AS c ON c.oid = g.tgrelid
WHERE NOT g.tgisinternal AND g.tgparentid = 0
  AND (g.tgrelid IN (SELECT to_regclass(n) FROM unnest($1::text[]) AS n)
       OR g.tgrelid IN (SELECT p.relid FROM unnest($1::text[]) AS n, pg_partition_tree(to_regclass(n)) AS p))
  AND coalesce(pg_stat_get_function_calls(g.tgfoid), 0) = 0
  -- Written in C, or of the server's own: not counted.
  AND EXISTS (SELECT FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang WHERE p.oid = g.tgfoid AND l.lanname NOT IN ('c', 'internal'))
ORDER BY 2, 1
