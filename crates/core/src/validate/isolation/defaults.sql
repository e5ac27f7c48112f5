-- What the owners' default privileges give of tables to come: a partition or a tenant table that is made next is open to them
-- until it is isolated. Locks: none.
WITH g AS ({given})
SELECT format('default privileges of %s for %s%s', d.defaclrole::regrole, CASE WHEN a.grantee = 0 THEN 'everybody' ELSE r.rolname END,
              CASE WHEN d.defaclnamespace = 0 THEN '' ELSE format(' in schema %s', n.nspname) END),
       coalesce(r.oid = g.app AND array_agg(a.privilege_type) <@ '{SELECT,INSERT,UPDATE,DELETE}', false),
       format('give %s on every table that is made%s', string_agg(DISTINCT a.privilege_type, ', '),
              CASE WHEN r.oid = g.app THEN ', tenant tables and others; isolate them before they have rows' ELSE '' END),
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s REVOKE ALL ON TABLES FROM %s', d.defaclrole::regrole,
              CASE WHEN d.defaclnamespace = 0 THEN '' ELSE format(' IN SCHEMA %I', n.nspname) END,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END)
FROM g, pg_default_acl AS d
CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a
LEFT JOIN pg_roles AS r ON r.oid = a.grantee
LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
WHERE d.defaclobjtype = 'r' AND a.grantee <> d.defaclrole AND d.defaclrole = ANY (g.owners)
  AND (d.defaclnamespace = 0 OR d.defaclnamespace IN (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = ANY (g.tables)))
  AND r.oid IS DISTINCT FROM g.ops AND NOT coalesce(r.rolsuper OR r.rolbypassrls, false)
GROUP BY d.defaclrole, d.defaclnamespace, a.grantee, r.oid, r.rolname, n.nspname, g.app
ORDER BY 1
