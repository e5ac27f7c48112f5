-- Functions that run with their owner's rights and that the application reaches, by a call or by a trigger of a table; and
-- Stockfoil's own, whose owner must bypass row-level security. Locks: none.
WITH g AS ({given})
SELECT CASE p.prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || p.oid::regprocedure, is_own AND bypasses,
       CASE WHEN is_own AND bypasses THEN format('is Stockfoil''s own, and runs as %s', owner)
            WHEN is_own THEN format('runs as %s, whom row-level security binds: it fails in a session that has set no organization', owner)
            ELSE format('runs as its owner %s%s; %s', owner,
                        CASE WHEN bypasses THEN ', who bypasses row-level security'
                             WHEN is_owner THEN ', who owns tables and can take their row-level security away' ELSE '' END,
                        CASE WHEN trigger_tables IS NULL THEN format('%s may execute it', app_name)
                             ELSE format('a trigger of %s calls it', trigger_tables) END) END,
       CASE WHEN is_own THEN 'migrate-org --finalize --isolate'
            ELSE format('ALTER %s %s SECURITY INVOKER, or REVOKE EXECUTE ON %1$s %2$s FROM PUBLIC, %I',
                        CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::regprocedure, app_name) END
FROM (
    SELECT p.oid, p.prokind, r.rolname AS owner, r.rolsuper OR r.rolbypassrls AS bypasses, p.proowner = ANY (g.owners) AS is_owner, g.app_name,
           p.pronamespace = to_regnamespace('stockfoil') AND p.proname = ANY (g.own_functions) AS is_own,
           coalesce(has_function_privilege(g.app, p.oid, 'EXECUTE') AND has_schema_privilege(g.app, p.pronamespace, 'USAGE'), false) AS is_callable,
           (SELECT string_agg(DISTINCT t.tgrelid::regclass::text, ', ') FROM pg_trigger AS t WHERE t.tgfoid = p.oid AND t.tgrelid = ANY (g.tables)) AS trigger_tables
    FROM g, pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner
    WHERE p.prosecdef AND p.pronamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
) AS p
WHERE is_own OR is_callable OR trigger_tables IS NOT NULL
ORDER BY 1
