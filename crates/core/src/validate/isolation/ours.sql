-- Whom the application can be: its role, its members, and every role that one of these can become or has the rights of; by the
-- name that messages give it. Locks: none.
WITH g AS ({given}), reach AS MATERIALIZED ({reach})
SELECT reach.role,
       CASE WHEN bool_or(reach.login = reach.role) THEN r.rolname::text
            ELSE format('%s as %s', string_agg(DISTINCT l.rolname, ', '), r.rolname) END AS name
FROM g, reach
JOIN pg_roles AS l ON l.oid = reach.login
JOIN pg_roles AS r ON r.oid = reach.role
WHERE reach.login IN (SELECT m.login FROM reach AS m WHERE m.role = g.app AND m.is_member)
GROUP BY reach.role, r.rolname
