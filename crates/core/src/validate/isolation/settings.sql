-- Defaults of the setting that says whose a session is: one that has set nothing would be that organization's. Locks: none.
WITH g AS ({given})
SELECT concat_ws(' ', 'setting app.org_id of', CASE WHEN s.setrole <> 0 THEN 'role ' || s.setrole::regrole END,
                 CASE WHEN s.setdatabase <> 0 THEN 'database ' || d.datname END),
       false, format('is %s: a session that sets nothing is that organization''s', split_part(c.setting, '=', 2)),
       CASE WHEN s.setrole <> 0 THEN format('ALTER ROLE %s%s RESET app.org_id', s.setrole::regrole, ' IN DATABASE ' || quote_ident(d.datname))
            ELSE format('ALTER DATABASE %I RESET app.org_id', d.datname) END
FROM g, pg_db_role_setting AS s
CROSS JOIN unnest(s.setconfig) AS c (setting)
LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
WHERE lower(split_part(c.setting, '=', 1)) = 'app.org_id' AND (s.setdatabase = 0 OR d.datname = current_database())
ORDER BY 1
