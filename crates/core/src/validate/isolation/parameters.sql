-- Parameters by which a session is past triggers, foreign keys or rights, or runs code as the server, and that everybody or
-- those whom the application can be may set; and those of the server's configuration, whatever they say. Locks: none.
WITH ours AS ({ours}), past (name, means) AS (
    VALUES ('session_replication_role', 'with replica no trigger and no foreign key is asked'),
           ('lo_compat_privileges', 'with on the large objects of all are everybody''s'),
           ('session_preload_libraries', 'it loads code into the server'),
           ('dynamic_library_path', 'it says where the server loads code from'),
           ('jit_provider', 'it loads code into the server')
), held AS (
    SELECT p.parname, a.privilege_type, a.grantor, coalesce(ours.name, 'everybody') AS who,
           CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee,
           CASE a.privilege_type WHEN 'SET' THEN past.means ELSE 'it is the server''s, for all' END AS means
    FROM pg_parameter_acl AS p
    CROSS JOIN LATERAL aclexplode(p.paracl) AS a
    LEFT JOIN ours ON ours.role = a.grantee
    LEFT JOIN past ON past.name = p.parname
    -- 10 is who owns all parameters.
    WHERE a.grantee <> 10 AND (a.grantee = 0 OR ours.role IS NOT NULL) AND (a.privilege_type = 'ALTER SYSTEM' OR past.name IS NOT NULL)
), taken AS (
    SELECT h.*, concat_ws('; ', CASE WHEN h.grantor <> 10 THEN format('SET ROLE %s', h.grantor::regrole) END,
                          format('REVOKE %s ON PARAMETER %s FROM %s CASCADE', h.privilege_type,
                                 (SELECT string_agg(quote_ident(part), '.' ORDER BY place) FROM unnest(string_to_array(h.parname, '.')) WITH ORDINALITY AS n (part, place)), h.grantee),
                          CASE WHEN h.grantor <> 10 THEN 'RESET ROLE' END) AS takes
    FROM held AS h
)
SELECT 'parameter ' || parname, false, string_agg(DISTINCT format('%s may %s it: %s', who, privilege_type, means), '; '),
       string_agg(DISTINCT takes COLLATE "C", '; ' ORDER BY takes COLLATE "C" DESC), NULL::text
FROM taken
GROUP BY parname
ORDER BY 1
