-- The function of the default organization is there with the body $1 and returns $2. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_proc AS p
    WHERE p.oid = to_regprocedure('stockfoil.default_org(text)') AND p.prosrc = $1 AND p.prosecdef
      AND p.prorettype = to_regtype($2) AND p.proconfig = '{"search_path=pg_catalog, pg_temp"}')
