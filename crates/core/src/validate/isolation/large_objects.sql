-- Large objects, which belong to a role and to no organization, that everybody or those whom the application can be own or may
-- read or write. Locks: none.
WITH ours AS MATERIALIZED ({ours}), held AS (
    SELECT l.oid, l.lomowner, a.grantee, a.privilege_type
    FROM pg_largeobject_metadata AS l CROSS JOIN LATERAL aclexplode(coalesce(l.lomacl, acldefault('L', l.lomowner))) AS a
)
SELECT 'large objects of ' || CASE WHEN h.grantee = 0 THEN 'everybody' ELSE h.grantee::regrole::text END, false,
       format('%s may %s %s large objects, such as %s, whatever organization they are of',
              CASE WHEN h.grantee = 0 THEN 'everybody' ELSE min(ours.name) END, string_agg(DISTINCT h.privilege_type, ', '), count(DISTINCT h.oid), min(h.oid)),
       CASE WHEN bool_or(h.lomowner = h.grantee)
            THEN format('DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE lomowner = %L::regrole LOOP EXECUTE format(''ALTER LARGE OBJECT %%s OWNER TO %%I'', o, current_user); END LOOP; END $$',
                        h.grantee::regrole)
            ELSE format('DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_catalog.pg_largeobject_metadata WHERE EXISTS (SELECT FROM aclexplode(lomacl) AS a WHERE a.grantee = %s) LOOP EXECUTE format(''REVOKE ALL ON LARGE OBJECT %%s FROM %s'', o); END LOOP; END $$',
                        CASE WHEN h.grantee = 0 THEN '0' ELSE format('%L::regrole', h.grantee::regrole) END, CASE WHEN h.grantee = 0 THEN 'PUBLIC' ELSE h.grantee::regrole::text END) END
       || '; or keep the content in a tenant table, as bytea', format('%s %s', h.grantee, string_agg(DISTINCT h.privilege_type, ', '))
FROM held AS h LEFT JOIN ours ON ours.role = h.grantee
WHERE h.grantee = 0 OR ours.role IS NOT NULL
GROUP BY h.grantee
ORDER BY 1
