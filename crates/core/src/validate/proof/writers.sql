-- Who may INSERT into table $1: its owner, each role that was given the right by name, and each login that has it through others,
-- with the columns that it may write. Of superusers, who may everything, the owner alone. One more than $2 of them at most.
-- Locks: nothing but the catalog's own.
SELECT r.rolname::text,
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND has_column_privilege(r.oid, c.oid, a.attnum, 'INSERT'))
FROM pg_class AS c
CROSS JOIN pg_roles AS r
WHERE c.oid = to_regclass($1) AND r.rolname NOT LIKE 'pg\_%'
  AND (r.oid = c.relowner
       OR NOT r.rolsuper AND has_any_column_privilege(r.oid, c.oid, 'INSERT')
          AND (r.rolcanlogin
               OR EXISTS (SELECT FROM aclexplode(c.relacl) AS g WHERE g.grantee = r.oid AND g.privilege_type = 'INSERT')
               OR EXISTS (SELECT FROM pg_attribute AS a, aclexplode(a.attacl) AS g
                          WHERE a.attrelid = c.oid AND g.grantee = r.oid AND g.privilege_type = 'INSERT')))
ORDER BY r.rolname
LIMIT $2 + 1
