-- What each role that is no superuser can be or use: login, role, and whether it can become it (by SET ROLE, or by granting
-- itself what it administers) or only has its rights by inheritance. BYPASSRLS and the like are had by becoming alone. A
-- member is who may set the role or inherits from it as things are, not who could only grant it to itself.
-- Locks: none.
WITH RECURSIVE edge AS (
    -- Before 16 a membership has no options of its own: it may always be set, and the member says whether it inherits.
    SELECT m.roleid, m.member, coalesce((to_jsonb(m) ->> 'set_option')::boolean, true) AS sets,
           coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, r.rolinherit) AS inherits, m.admin_option AS administers
    FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member
    UNION ALL
    SELECT 'pg_database_owner'::regrole, d.datdba, true, true, false FROM pg_database AS d WHERE d.datname = current_database()
    UNION ALL
    -- Before 16 who may create roles administers all but superusers.
    SELECT r.oid, c.oid, false, false, true
    FROM pg_roles AS c, pg_roles AS r
    WHERE current_setting('server_version_num')::int < 160000 AND c.rolcreaterole AND NOT c.rolsuper AND NOT r.rolsuper AND r.oid <> c.oid
), reach (login, role, becomes, is_member) AS (
    SELECT r.oid, r.oid, true, true FROM pg_roles AS r WHERE NOT r.rolsuper AND r.rolname !~ '^pg_'
    UNION
    SELECT reach.login, edge.roleid, way.becomes, way.is_member
    FROM reach
    JOIN edge ON edge.member = reach.role
    CROSS JOIN LATERAL (VALUES (true, false, edge.administers), (true, reach.is_member, reach.becomes AND edge.sets),
                               (false, reach.is_member, edge.inherits)) AS way (becomes, is_member, is_open)
    WHERE way.is_open
)
SELECT login, role, bool_or(becomes) AS becomes, bool_or(is_member) AS is_member FROM reach GROUP BY 1, 2
