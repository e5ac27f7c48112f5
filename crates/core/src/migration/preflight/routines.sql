-- Routines whose text names one of the tables $1 that lack the column $2, and which may mean something else, or nothing, once
-- it is there, on ways that no rehearsal takes: they take all columns of something, or name a column of that name. Locks: none.
SELECT 'function ' || p.oid::regprocedure,
       CASE WHEN p.prosrc ~* o.word
            THEN format('names %s, which from now on is a column of %s wherever that is the nearest table: qualify it', $2, string_agg(DISTINCT c.relname, ', '))
            ELSE format('takes all columns (*) and names %s: look whether each place bears one more', string_agg(DISTINCT c.relname, ', ')) END
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang
CROSS JOIN (SELECT E'\\m' || regexp_replace($2, E'(\\W)', E'\\\\\\1', 'g') || E'\\M' AS word) AS o
JOIN pg_class AS c ON c.oid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t)
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'stockfoil')
  AND l.lanname NOT IN ('internal', 'c')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  AND (strpos(lower(p.prosrc), lower(c.relname)) > 0
       OR EXISTS (SELECT FROM pg_trigger AS g WHERE g.tgfoid = p.oid AND g.tgrelid = c.oid))
  AND NOT EXISTS (SELECT FROM pg_attribute AS a
                  WHERE a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)
  AND (p.prosrc ~* o.word OR p.prosrc ~* E'(\\m(select|returning)\\s+|,\\s*|\\w\\.)\\*')
GROUP BY p.oid, o.word
ORDER BY 1
