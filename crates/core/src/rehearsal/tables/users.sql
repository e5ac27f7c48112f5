-- The roles that may read or write table $1, or columns of it, by their own rights, its owner among them: whether each
-- may SELECT, INSERT, UPDATE, DELETE. What a role may through others is theirs; what everybody may is that of the first
-- login that is no superuser. Locks: none beyond the catalog's own.
WITH given AS (
    SELECT a.grantee, a.privilege_type
    FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
    WHERE c.oid = to_regclass($1)
    UNION
    SELECT a.grantee, a.privilege_type
    FROM pg_attribute AS t, aclexplode(t.attacl) AS a
    WHERE t.attrelid = to_regclass($1) AND t.attnum > 0 AND NOT t.attisdropped
)
SELECT r.rolname::text,
       bool_or(g.privilege_type = 'SELECT'), bool_or(g.privilege_type = 'INSERT'),
       bool_or(g.privilege_type = 'UPDATE'), bool_or(g.privilege_type = 'DELETE')
FROM given AS g
JOIN pg_roles AS r
  ON r.oid = g.grantee
     OR g.grantee = 0 AND r.rolname = (SELECT min(l.rolname) FROM pg_roles AS l WHERE l.rolcanlogin AND NOT l.rolsuper AND l.rolname NOT LIKE 'pg\_%')
WHERE r.rolname NOT LIKE 'pg\_%'
GROUP BY r.rolname
ORDER BY r.rolname
