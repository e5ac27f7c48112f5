-- The function $1 is there with the body $2, the parameters $3, the volatility $4 and the result $5, runs with its owner's rights and a
-- search path of its own, and is not for everybody. Locks: none.
SELECT EXISTS (
    SELECT FROM pg_proc AS p
    JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.oid = to_regprocedure($1) AND p.prosrc = $2 AND pg_get_function_arguments(p.oid) = $3
      AND p.provolatile::text = $4 AND pg_get_function_result(p.oid) = $5 AND l.lanname = 'plpgsql'
      AND p.prosecdef AND p.proconfig = '{"search_path=pg_catalog, pg_temp"}'
      AND NOT has_function_privilege('public', p.oid, 'EXECUTE'))
