-- What the schema public is: its owner, the rights on it and its comment; NULL where there is none. Locks: none beyond the
-- catalog's own.
SELECT jsonb_build_object(
           'owner', pg_get_userbyid(n.nspowner),
           'comment', obj_description(n.oid, 'pg_namespace'),
           'rights', (SELECT coalesce(jsonb_agg(jsonb_build_array(
                                 CASE g.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(g.grantee) END,
                                 g.privilege_type, g.is_grantable)), '[]')
                      FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS g))::text
FROM pg_namespace AS n
WHERE n.nspname = 'public'
