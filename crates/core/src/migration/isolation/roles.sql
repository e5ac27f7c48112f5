-- Why the application's role $1 and the operations role $2 can't be made, or can't be what they are to be on the tables $3.
-- Object, what is the matter, and what to do. Locks: none.
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
SELECT 'role ' || current_user, 'would be bound by row-level security itself, and could neither go on nor go back',
       format('let a superuser run: ALTER ROLE %I BYPASSRLS; the application logs in as another', current_user)
FROM me WHERE NOT (rolsuper OR rolbypassrls)
UNION ALL
SELECT 'role ' || $2, 'is there, and does not bypass row-level security',
       format('let a superuser run: ALTER ROLE %I BYPASSRLS; or name another ([tenancy.isolation] operations_role)', $2::text)
FROM pg_roles WHERE rolname = $2 AND NOT (rolsuper OR rolbypassrls)
UNION ALL
SELECT 'role ' || $2, format('has no member %s, who could give it functions', current_user), format('let a superuser run: GRANT %I TO %I', $2::text, current_user)
FROM pg_roles WHERE rolname = $2 AND NOT pg_has_role(current_user, oid, 'MEMBER')
UNION ALL
SELECT 'schema ' || n.nspname, format('is not %s''s, who can''t let others use it', current_user),
       format('let its owner run: GRANT USAGE ON SCHEMA %I TO %I, %I', n.nspname, $1::text, $2::text)
FROM pg_namespace AS n
WHERE n.oid IN (SELECT c.relnamespace FROM pg_class AS c WHERE c.oid IN (SELECT to_regclass(t)::oid FROM unnest($3::text[]) AS t))
  AND NOT has_schema_privilege('public', n.oid, 'USAGE') AND NOT pg_has_role(n.nspowner, 'USAGE')
  AND 2 > (SELECT count(*) FROM pg_roles AS r WHERE r.rolname IN ($1, $2) AND has_schema_privilege(r.oid, n.oid, 'USAGE'))
