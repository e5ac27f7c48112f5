-- What the role may not do that the migration of the tables $1 needs; $2 is the organization's column. Locks: none.
SELECT regexp_replace(c.oid::regclass::text, '^public\.', ''), format('belongs to %s, and only its owner can change it', c.relowner::regrole)
FROM pg_class AS c
WHERE c.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n) AND NOT pg_has_role(c.relowner, 'USAGE')
  AND $2::text IS NOT NULL
UNION ALL
SELECT DISTINCT 'schema ' || n.nspname, format('lets %s create nothing in it', current_user)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n) AND NOT has_schema_privilege(n.oid, 'CREATE')
UNION ALL
SELECT 'database ' || current_database(), format('lets %s create no schema in it, and there is no schema stockfoil', current_user)
WHERE to_regnamespace('stockfoil') IS NULL AND NOT has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT 'schema stockfoil', format('belongs to %s', n.nspowner::regrole)
FROM pg_namespace AS n WHERE n.nspname = 'stockfoil' AND NOT pg_has_role(n.nspowner, 'USAGE')
ORDER BY 1
