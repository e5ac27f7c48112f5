-- Schemas in which the application or everybody may create objects that others' sessions would find first, of which the tables'
-- own and Stockfoil's are named in any case; and the database, in which schemas may be made. Locks: none.
WITH g AS ({given})
SELECT 'schema ' || n.nspname, NOT has_schema_privilege(g.app, n.oid, 'CREATE'),
       CASE WHEN has_schema_privilege(g.app, n.oid, 'CREATE')
            THEN format('%s may create objects in it, which the sessions of others may take for the application''s', g.app_name)
            ELSE format('%s may create nothing in it', g.app_name) END,
       format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC, %I', n.nspname, g.app_name), NULL::text
FROM g, pg_namespace AS n
WHERE g.app IS NOT NULL
  AND (n.nspname = 'stockfoil' OR n.oid IN (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = ANY (g.tables))
       OR (n.nspname !~ '^pg_(toast|temp)' AND has_schema_privilege(g.app, n.oid, 'CREATE')))
UNION ALL
SELECT 'database ' || d.datname, false,
       format('%s may create schemas in it, such as one of a login''s name, where the sessions of that login look first', g.app_name),
       format('REVOKE CREATE ON DATABASE %I FROM PUBLIC, %I', d.datname, g.app_name), NULL
FROM g, pg_database AS d
WHERE g.app IS NOT NULL AND d.datname = current_database() AND has_database_privilege(g.app, d.oid, 'CREATE')
ORDER BY 1
