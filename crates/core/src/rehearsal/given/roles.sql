-- The roles that objects of this database belong to or that were given rights on them: name, whether an object of a schema
-- belongs to it, whether it inherits, and which of them it is a member of. Locks: none beyond the catalog's own.
WITH used AS (
    SELECT d.refobjid AS oid,
           bool_or(d.deptype = 'o' AND d.classid NOT IN ('pg_extension'::regclass, 'pg_event_trigger'::regclass, 'pg_publication'::regclass)
                   AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e')) AS owns
    FROM pg_shdepend AS d
    WHERE d.refclassid = 'pg_authid'::regclass AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    GROUP BY d.refobjid
    UNION ALL
    -- What belongs to the server's first role is written down nowhere.
    SELECT 10, true
    WHERE EXISTS (SELECT FROM (SELECT 'pg_class'::regclass AS class, c.oid FROM pg_class AS c
                               WHERE c.relowner = 10 AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relnamespace <> 'pg_toast'::regnamespace
                               UNION ALL SELECT 'pg_proc'::regclass, p.oid FROM pg_proc AS p WHERE p.proowner = 10
                               UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type AS t WHERE t.typowner = 10 AND t.typtype IN ('d', 'e', 'r')
                               UNION ALL SELECT 'pg_namespace'::regclass, n.oid FROM pg_namespace AS n WHERE n.nspowner = 10) AS o
                  WHERE o.oid >= 16384
                    AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = o.class AND e.objid = o.oid AND e.deptype = 'e'))
)
SELECT r.rolname::text AS name, u.owns, r.rolinherit AS inherits,
       ARRAY(SELECT g.rolname::text FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = m.roleid
             WHERE m.member = r.oid AND g.oid IN (SELECT oid FROM used) ORDER BY 1) AS groups
FROM used AS u
JOIN pg_roles AS r ON r.oid = u.oid
WHERE r.rolname NOT LIKE 'pg\_%'
ORDER BY 1
