-- Logins that read everything, as for backups, and that row-level security binds. Those of the application are no backups':
-- that they read everything is what another look is about. Locks: none.
WITH g AS ({given}), reach AS MATERIALIZED ({reach})
SELECT 'role ' || r.rolname, false,
       'may read all data, and does not bypass row-level security: its pg_dump fails, and with --enable-row-security leaves rows out without a word',
       format('ALTER ROLE %I BYPASSRLS, or let it dump as %s (pg_dump --role)', r.rolname, g.ops_name), NULL::text
FROM g, pg_roles AS r
WHERE r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolbypassrls AND pg_has_role(r.oid, 'pg_read_all_data', 'USAGE')
  -- Who may become a role that bypasses it dumps as that one, such as another database's operations role.
  AND NOT EXISTS (SELECT FROM pg_roles AS b WHERE b.rolbypassrls AND pg_has_role(r.oid, b.oid, 'MEMBER'))
  AND NOT EXISTS (SELECT FROM reach WHERE reach.login = r.oid AND reach.role = g.app AND reach.is_member)
ORDER BY 1
