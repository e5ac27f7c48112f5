-- Defaults of the setting that says whose a session is: one that has set nothing would be that organization's. And those by
-- which sessions of everybody or of the application are past triggers, foreign keys or the rights on large objects.
-- Locks: none.
WITH ours AS ({ours}), held AS (
    SELECT s.setrole, d.datname, lower(split_part(c.setting, '=', 1)) AS name, substr(c.setting, strpos(c.setting, '=') + 1) AS value
    FROM pg_db_role_setting AS s
    CROSS JOIN unnest(s.setconfig) AS c (setting)
    LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
    WHERE s.setdatabase = 0 OR d.datname = current_database()
    UNION ALL
    -- What no role and no database says is the server's, or this session's own connection string's.
    SELECT 0, NULL, s.name, current_setting(s.name, true)
    FROM (VALUES ('app.org_id'), ('lo_compat_privileges')) AS s (name)
    WHERE NOT EXISTS (SELECT FROM pg_db_role_setting AS o CROSS JOIN unnest(o.setconfig) AS c (setting)
                      WHERE lower(split_part(c.setting, '=', 1)) = s.name AND o.setrole IN (0, current_user::regrole)
                        AND (o.setdatabase = 0 OR o.setdatabase = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())))
)
SELECT concat_ws(' ', 'setting', h.name, 'of', CASE WHEN h.setrole <> 0 THEN 'role ' || h.setrole::regrole WHEN h.datname IS NULL THEN 'the server' END, 'database ' || h.datname),
       false, format('is %s: a session that sets nothing %s', h.value,
                     CASE h.name WHEN 'app.org_id' THEN 'is that organization''s' WHEN 'lo_compat_privileges' THEN 'reads and deletes everybody''s large objects'
                                 ELSE 'is asked by no trigger and by no foreign key' END),
       CASE WHEN h.setrole <> 0 THEN format('ALTER ROLE %s%s RESET %s', h.setrole::regrole, ' IN DATABASE ' || quote_ident(h.datname), h.name)
            WHEN h.datname IS NULL THEN format('ALTER SYSTEM RESET %s; or take it out of postgresql.conf, and reload that', h.name)
            ELSE format('ALTER DATABASE %I RESET %s', h.datname, h.name) END, NULL::text
FROM held AS h
WHERE (h.name = 'app.org_id' AND h.value <> '')
   OR (h.name = 'lo_compat_privileges' AND h.value::bool AND (h.setrole = 0 OR h.setrole IN (SELECT ours.role FROM ours)))
   OR (h.name = 'session_replication_role' AND lower(h.value) = 'replica' AND (h.setrole = 0 OR h.setrole IN (SELECT ours.role FROM ours)))
ORDER BY 1
