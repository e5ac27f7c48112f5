-- Functions that somebody calls leakproof: a condition that calls one is asked of rows before row-level security has taken
-- them out. Locks: none.
WITH g AS ({given})
SELECT 'function ' || p.oid::regprocedure, false,
       format('is LEAKPROOF, and belongs to %s: it is called for rows of other organizations too', p.proowner::regrole),
       format('ALTER FUNCTION %s NOT LEAKPROOF', p.oid::regprocedure), pg_get_functiondef(p.oid)
FROM g, pg_proc AS p
WHERE p.proleakproof AND p.pronamespace <> 'pg_catalog'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1
