-- What the owners' default privileges give of objects to come: tables, since a partition or a tenant table that is made next is
-- open to them until it is isolated; setval of sequences; CREATE in schemas. Rights on functions and types are nothing that
-- everybody has not got anyway, and SECURITY DEFINER functions are looked at when they are there. Locks: none.
WITH g AS ({given}), kind (type, named, what, rights, privileges, means) AS (
    VALUES ('r', '', 'TABLES', 'ALL', NULL::text[], 'on every table that is made'),
           ('S', ' on sequences', 'SEQUENCES', 'UPDATE', '{UPDATE}',
            'on every sequence that is made: who sets back (setval) what a table''s numbers come from makes the inserts of every organization fail'),
           ('n', ' on schemas', 'SCHEMAS', 'CREATE', '{CREATE}',
            'in every schema that is made: objects in it may be what the sessions of others find first')
)
SELECT format('default privileges of %s%s for %s%s', d.defaclrole::regrole, k.named, CASE WHEN a.grantee = 0 THEN 'everybody' ELSE r.rolname END,
              CASE WHEN d.defaclnamespace = 0 THEN '' ELSE format(' in schema %s', n.nspname) END),
       coalesce(k.type = 'r' AND r.oid = g.app AND array_agg(a.privilege_type) <@ '{SELECT,INSERT,UPDATE,DELETE}', false),
       format('give %s %s%s', string_agg(DISTINCT a.privilege_type, ', '), k.means,
              CASE WHEN k.type = 'r' AND r.oid = g.app THEN ', tenant tables and others; isolate them before they have rows' ELSE '' END),
       format('ALTER DEFAULT PRIVILEGES FOR ROLE %s%s REVOKE %s ON %s FROM %s', d.defaclrole::regrole,
              CASE WHEN d.defaclnamespace = 0 THEN '' ELSE format(' IN SCHEMA %I', n.nspname) END, k.rights, k.what,
              CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END), NULL::text
FROM g, pg_default_acl AS d
JOIN kind AS k ON k.type = d.defaclobjtype::text
CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a
LEFT JOIN pg_roles AS r ON r.oid = a.grantee
LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
WHERE (k.privileges IS NULL OR a.privilege_type = ANY (k.privileges)) AND a.grantee <> d.defaclrole AND d.defaclrole = ANY (g.owners)
  AND (d.defaclnamespace = 0 OR d.defaclnamespace IN (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid = ANY (g.tables)))
  AND r.oid IS DISTINCT FROM g.ops AND NOT coalesce(r.rolsuper OR r.rolbypassrls, false)
GROUP BY d.defaclrole, d.defaclnamespace, a.grantee, r.oid, r.rolname, n.nspname, g.app, k.type, k.named, k.what, k.rights, k.means
ORDER BY 1
