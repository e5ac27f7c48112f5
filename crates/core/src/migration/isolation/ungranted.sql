-- Tables, views and sequences beside the application's tenant tables, in their schemas, that role $1 may not read; $2 are
-- those that it need not. Locks: none.
SELECT regexp_replace(c.oid::regclass::text, '^public\.', ''),
       format('GRANT %s ON %s TO %I', CASE c.relkind WHEN 'S' THEN 'USAGE' ELSE 'SELECT' END, c.oid::regclass, $1::text)
FROM pg_class AS c
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition
  AND c.relnamespace IN (SELECT o.relnamespace FROM pg_class AS o WHERE o.oid IN (SELECT to_regclass(t)::oid FROM unnest($2::text[]) AS t))
  AND c.oid NOT IN (SELECT to_regclass(t)::oid FROM unnest($2::text[]) AS t WHERE to_regclass(t) IS NOT NULL)
  AND c.relname <> '_sqlx_migrations'
  AND NOT EXISTS (SELECT FROM pg_roles AS r WHERE r.rolname = $1 AND has_table_privilege(r.oid, c.oid, 'SELECT'))
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY 1
