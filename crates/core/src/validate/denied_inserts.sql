-- The roles that may insert into table $1 and not call the function that its default calls. Locks: none.
SELECT r.rolname::text
FROM pg_class AS c, pg_proc AS p, pg_roles AS r
WHERE c.oid = to_regclass($1) AND p.oid = to_regprocedure('stockfoil.default_org(text)')
  AND (has_table_privilege(r.oid, c.oid, 'INSERT') OR has_any_column_privilege(r.oid, c.oid, 'INSERT'))
  AND NOT has_function_privilege(r.oid, p.oid, 'EXECUTE')
ORDER BY 1
