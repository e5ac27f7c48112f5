-- Functions in SQL whose text names one of the tables $1 that lack the column $2, and a parameter of theirs that is called
-- like the column, without the function's name before it: there the column comes first. Those of a BEGIN ATOMIC body keep
-- what they meant. Locks: none.
SELECT 'function ' || p.oid::regprocedure,
       format('has a parameter %s, and means the column of that name of %s by it once that is there', $2::text, string_agg(DISTINCT c.relname, ', '))
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'sql'
JOIN pg_class AS c ON c.oid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t)
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'stockfoil')
  AND p.prosqlbody IS NULL
  AND $2 = ANY (p.proargnames)
  AND p.prosrc ~* (E'(?<![.\\w])' || regexp_replace($2, E'(\\W)', E'\\\\\\1', 'g') || E'\\M')
  AND strpos(lower(p.prosrc), lower(c.relname)) > 0
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
  AND NOT EXISTS (SELECT FROM pg_attribute AS a
                  WHERE a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)
GROUP BY p.oid
ORDER BY 1
