-- Statements that make of the schema public what $1 says, as `public.sql` said it. Its owner comes first, by whom the rights
-- are. Locks: none beyond the catalog's own.
WITH was AS (
    SELECT $1::jsonb AS public
), now AS (
    SELECT n.nspowner, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl, obj_description(n.oid, 'pg_namespace') AS comment
    FROM pg_namespace AS n WHERE n.nspname = 'public'
), given AS (
    SELECT r ->> 0 AS role, r ->> 1 AS privilege, (r ->> 2)::bool AS is_grantable
    FROM was, jsonb_array_elements(public -> 'rights') AS r
), held AS (
    SELECT CASE g.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(g.grantee)::text END AS role,
           g.privilege_type AS privilege, g.is_grantable
    FROM now, aclexplode(now.acl) AS g
)
SELECT statement
FROM (SELECT 1 AS place, format('ALTER SCHEMA public OWNER TO %I', public ->> 'owner') AS statement
      FROM was, now WHERE pg_get_userbyid(now.nspowner) <> public ->> 'owner'
      UNION ALL
      SELECT 2, format('REVOKE %s ON SCHEMA public FROM %s CASCADE', privilege, CASE role WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(role) END)
      FROM (TABLE held EXCEPT TABLE given) AS x
      UNION ALL
      SELECT 3, format('GRANT %s ON SCHEMA public TO %s%s', privilege, CASE role WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(role) END,
                       CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
      FROM (TABLE given EXCEPT TABLE held) AS x
      UNION ALL
      SELECT 4, format('COMMENT ON SCHEMA public IS %L', public ->> 'comment')
      FROM was, now WHERE now.comment IS DISTINCT FROM public ->> 'comment') AS s
ORDER BY place
