-- Logins of the application: roles that can log in and are members of its role, or that role itself. Locks: none.
WITH g AS ({given})
SELECT 'role ' || r.rolname, reaches IS NULL AND NOT (r.rolbypassrls OR r.rolcreaterole),
       format('is a login of the application%s', CASE
           WHEN r.rolbypassrls THEN ' that bypasses row-level security'
           WHEN r.rolcreaterole THEN ' that may create roles, and make itself a member of others'
           WHEN reaches IS NOT NULL THEN format(' that is or can become %s', reaches) ELSE '' END),
       CASE WHEN r.rolbypassrls THEN format('ALTER ROLE %I NOBYPASSRLS', r.rolname)
            WHEN r.rolcreaterole THEN format('ALTER ROLE %I NOCREATEROLE', r.rolname)
            ELSE format('take it out of that role, or give its tables another owner') END
FROM g, pg_roles AS r
CROSS JOIN LATERAL (
    SELECT string_agg(m.rolname || CASE WHEN m.rolsuper THEN ' (a superuser)' WHEN m.oid = ANY (g.owners) THEN ' (which owns tables)'
                                        WHEN m.rolbypassrls THEN ' (which bypasses row-level security)' ELSE ' (which may create roles)' END,
                      ', ' ORDER BY m.rolname) AS reaches
    FROM pg_roles AS m
    WHERE pg_has_role(r.oid, m.oid, 'MEMBER') AND (m.oid <> r.oid OR m.oid = ANY (g.owners))
      AND (m.rolsuper OR m.rolbypassrls OR m.rolcreaterole OR m.oid = ANY (g.owners))
) AS through
WHERE r.rolcanlogin AND NOT r.rolsuper AND pg_has_role(r.oid, g.app, 'MEMBER')
ORDER BY 1
