-- Defaults of the setting that says whose a session is: one that has set nothing would be that organization's. And those by
-- which sessions of everybody or of the application are past triggers and foreign keys. Locks: none.
WITH ours AS ({ours}), held AS (
    SELECT s.setrole, d.datname, lower(split_part(c.setting, '=', 1)) AS name, substr(c.setting, strpos(c.setting, '=') + 1) AS value
    FROM pg_db_role_setting AS s
    CROSS JOIN unnest(s.setconfig) AS c (setting)
    LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
    WHERE s.setdatabase = 0 OR d.datname = current_database()
)
SELECT concat_ws(' ', 'setting', h.name, 'of', CASE WHEN h.setrole <> 0 THEN 'role ' || h.setrole::regrole END, 'database ' || h.datname),
       false, format('is %s: a session that sets nothing is %s', h.value,
                     CASE h.name WHEN 'app.org_id' THEN 'that organization''s' ELSE 'asked by no trigger and by no foreign key' END),
       CASE WHEN h.setrole <> 0 THEN format('ALTER ROLE %s%s RESET %s', h.setrole::regrole, ' IN DATABASE ' || quote_ident(h.datname), h.name)
            ELSE format('ALTER DATABASE %I RESET %s', h.datname, h.name) END
FROM held AS h
WHERE h.name = 'app.org_id'
   OR (h.name = 'session_replication_role' AND lower(h.value) = 'replica' AND (h.setrole = 0 OR h.setrole IN (SELECT ours.role FROM ours)))
ORDER BY 1
