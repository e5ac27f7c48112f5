-- The tables beside $2 (qualified) whose triggers or rules lead to one of the tables called $1, by the texts of functions and
-- of those that call them: schema and name. None of an extension's, of PostgreSQL's or of Stockfoil's own.
-- Locks: none beyond the catalog's own.
WITH RECURSIVE routines AS (
    SELECT p.oid, lower(p.proname) AS name, lower(pg_get_functiondef(p.oid)) AS text
    FROM pg_proc AS p
    JOIN pg_namespace AS n ON n.oid = p.pronamespace
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.prokind IN ('f', 'p') AND l.lanname NOT IN ('internal', 'c')
      AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'stockfoil')
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
), reaching AS (
    SELECT r.oid, r.name FROM routines AS r
    WHERE EXISTS (SELECT FROM unnest($1::text[]) AS t (name) WHERE strpos(r.text, lower(t.name)) > 0)
    UNION
    SELECT r.oid, r.name FROM routines AS r JOIN reaching AS l ON strpos(r.text, l.name) > 0
)
SELECT n.nspname::text, c.relname::text
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'stockfoil')
  AND c.oid <> ALL (ARRAY(SELECT to_regclass(t)::oid FROM unnest($2::text[]) AS t WHERE to_regclass(t) IS NOT NULL))
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  AND (EXISTS (SELECT FROM pg_trigger AS g JOIN reaching AS l ON l.oid = g.tgfoid WHERE g.tgrelid = c.oid AND NOT g.tgisinternal)
       OR EXISTS (SELECT FROM pg_rewrite AS w, unnest($1::text[]) AS t (name)
                  WHERE w.ev_class = c.oid AND w.ev_type <> '1' AND strpos(lower(pg_get_ruledef(w.oid)), lower(t.name)) > 0))
ORDER BY 1, 2
