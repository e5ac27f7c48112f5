-- Schemas of the tables, and Stockfoil's own, in which the application or everybody may create objects that others' sessions
-- would find first. Locks: none.
WITH g AS ({given})
SELECT 'schema ' || n.nspname, NOT has_schema_privilege(g.app, n.oid, 'CREATE'),
       CASE WHEN has_schema_privilege(g.app, n.oid, 'CREATE')
            THEN format('%s may create objects in it, which the sessions of others may take for the application''s', g.app_name)
            ELSE format('%s may create nothing in it', g.app_name) END,
       format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %I', n.nspname, g.app_name)
FROM g, pg_namespace AS n
WHERE g.app IS NOT NULL
  AND (n.nspname = 'stockfoil' OR n.oid IN (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = ANY (g.tables)))
ORDER BY 1
