-- What everybody and those whom the application can be have of routines and relations, by a grant or as the owner, and what
-- takes it. An owner's EXECUTE is left out: a routine gives nobody more than its owner has. Locks: none.
WITH ours AS MATERIALIZED ({ours}), held AS (
    SELECT 'pg_proc'::regclass AS class, p.oid AS object, p.proowner AS owner, a.grantee, a.grantor, a.privilege_type AS privilege,
           format('%s ON ROUTINE %s', a.privilege_type, p.oid::regprocedure) AS what
    FROM pg_proc AS p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, c.relowner, a.grantee, a.grantor, a.privilege_type, format('%s ON %s', a.privilege_type, c.oid::regclass)
    FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
    WHERE c.relkind <> 'S'
    UNION ALL
    SELECT 'pg_class'::regclass, c.oid, c.relowner, a.grantee, a.grantor, a.privilege_type,
           format('%s (%I) ON %s', a.privilege_type, k.attname, c.oid::regclass)
    FROM pg_attribute AS k JOIN pg_class AS c ON c.oid = k.attrelid CROSS JOIN LATERAL aclexplode(k.attacl) AS a
    WHERE k.attacl IS NOT NULL AND NOT k.attisdropped
)
SELECT h.class, h.object, h.privilege, h.grantee, coalesce(ours.name, 'everybody') AS who,
       concat_ws('; ', CASE WHEN h.grantor <> h.owner THEN format('SET ROLE %s', h.grantor::regrole) END,
                 format('REVOKE %s FROM %s CASCADE', h.what, CASE WHEN h.grantee = 0 THEN 'PUBLIC' ELSE h.grantee::regrole::text END),
                 CASE WHEN h.grantor <> h.owner THEN 'RESET ROLE' END) AS takes
FROM held AS h
LEFT JOIN ours ON ours.role = h.grantee
WHERE h.grantee <> h.owner AND (h.grantee = 0 OR ours.role IS NOT NULL)
UNION ALL
SELECT 'pg_class'::regclass, c.oid, p.privilege, c.relowner, ours.name, format('ALTER TABLE %s OWNER TO %s', c.oid::regclass,
       coalesce((SELECT quote_ident(pg_get_userbyid(d.datdba)) FROM pg_database AS d WHERE d.datname = current_database() AND NOT pg_has_role(c.relowner, d.datdba, 'MEMBER')), 'another role'))
FROM pg_class AS c
JOIN ours ON ours.role = c.relowner
CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) AS p (privilege)
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
