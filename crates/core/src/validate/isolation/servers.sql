-- Other servers that those whom the application can be may use as somebody whose password is kept here: whatever that one may
-- read there, each of them reads, if it is this very database. Locks: none.
WITH ours AS MATERIALIZED ({ours}), held AS (
    SELECT s.oid, s.srvname, a.grantee, a.grantor, s.srvowner, coalesce(ours.name, 'everybody') AS who
    FROM pg_foreign_server AS s
    CROSS JOIN LATERAL aclexplode(coalesce(s.srvacl, acldefault('S', s.srvowner))) AS a
    LEFT JOIN ours ON ours.role = a.grantee
    WHERE a.privilege_type = 'USAGE' AND (a.grantee = 0 OR ours.role IS NOT NULL)
)
SELECT 'server ' || h.srvname, false,
       format('%s may use it, and whom it is used as is kept here for %s', string_agg(DISTINCT h.who, ', '),
              string_agg(DISTINCT CASE WHEN m.umuser = 0 THEN 'everybody' ELSE m.umuser::regrole::text END, ', ')),
       string_agg(DISTINCT format('REVOKE USAGE ON FOREIGN SERVER %I FROM %s CASCADE', h.srvname, CASE WHEN h.grantee = 0 THEN 'PUBLIC' ELSE h.grantee::regrole::text END), '; ')
       || '; or ' || string_agg(DISTINCT format('DROP USER MAPPING FOR %s SERVER %I', CASE WHEN m.umuser = 0 THEN 'PUBLIC' ELSE m.umuser::regrole::text END, h.srvname), '; '),
       NULL::text
FROM held AS h JOIN pg_user_mapping AS m ON m.umserver = h.oid AND (m.umuser = 0 OR m.umuser IN (SELECT ours.role FROM ours))
GROUP BY h.srvname
ORDER BY 1
