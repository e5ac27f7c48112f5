-- Logins that own none of the tables $1, may read each of them by grants, and not what Stockfoil makes: a pg_dump of the whole
-- database works for them before the migration, and not after it. $2 is the organization's column. Locks: none.
SELECT 'role ' || r.rolname,
       format('may read every table by grants alone, and will not read what is made now: a pg_dump of the whole database by it fails from then on; if it makes one: GRANT pg_read_all_data TO %I', r.rolname)
FROM pg_roles AS r
WHERE r.rolcanlogin AND NOT r.rolsuper AND $2::text IS NOT NULL
  AND NOT pg_has_role(r.oid, 'pg_read_all_data', 'USAGE')
  AND (SELECT bool_and(has_table_privilege(r.oid, t.oid, 'SELECT') AND NOT pg_has_role(r.oid, t.relowner, 'USAGE'))
       FROM pg_class AS t
       JOIN pg_namespace AS n ON n.oid = t.relnamespace
       WHERE t.relkind IN ('r', 'p', 'S') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', 'stockfoil')
         AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e'))
  AND EXISTS (SELECT FROM unnest($1::text[]) AS n WHERE to_regclass(n) IS NOT NULL)
ORDER BY 1
