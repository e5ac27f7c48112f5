-- Why the application's role $1 and the operations role $2 can't be made, or can't be what they are to be; $3 are the
-- tables. Object, what is the matter, and what to do. Locks: none.
WITH me AS (
    SELECT r.rolsuper, r.rolcreaterole, r.rolbypassrls FROM pg_roles AS r WHERE r.rolname = current_user
)
SELECT 'role ' || $1, format('is not there, and %s may not create it', current_user), format('let a superuser run: CREATE ROLE %I NOLOGIN', $1::text)
FROM me
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AND NOT (rolsuper OR rolcreaterole)
UNION ALL
SELECT 'role ' || $2, format('is not there, and %s may not create one that bypasses row-level security', current_user),
       format('let a superuser run: CREATE ROLE %I NOLOGIN BYPASSRLS; GRANT %I TO %I', $2::text, $2::text, current_user)
FROM me
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = $2)
  AND NOT (rolsuper OR (rolcreaterole AND rolbypassrls AND current_setting('server_version_num')::int >= 160000))
UNION ALL
SELECT 'role ' || $2, 'is there, and does not bypass row-level security',
       format('let a superuser run: ALTER ROLE %I BYPASSRLS; or name another ([tenancy.isolation] operations_role)', $2::text)
FROM pg_roles WHERE rolname = $2 AND NOT (rolsuper OR rolbypassrls)
UNION ALL
SELECT 'role ' || $2, format('has no member %s, who could give it functions', current_user), format('let a superuser run: GRANT %I TO %I', $2::text, current_user)
FROM pg_roles WHERE rolname = $2 AND NOT pg_has_role(current_user, oid, 'MEMBER')
