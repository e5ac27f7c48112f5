-- The function of the default organization is there with the body $1, returns $2, and everybody may call it: whoever inserts a
-- row that names no organization does. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_proc AS p
    WHERE p.oid = to_regprocedure('stockfoil.default_org(text)') AND p.prosrc = $1 AND p.prosecdef
      AND has_function_privilege('public', p.oid, 'EXECUTE')
      AND p.prorettype = to_regtype($2) AND p.proconfig = '{"search_path=pg_catalog, pg_temp"}')
