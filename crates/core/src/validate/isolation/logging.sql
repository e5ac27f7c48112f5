-- What the server's configuration, or that of the database or of a role of the application, writes of statements' values into
-- its log: they are every organization's, and API keys are among them. Locks: none.
WITH ours AS ({ours}), held (place, name, value) AS (
    SELECT 'the server', s.name, s.setting FROM pg_settings AS s WHERE s.name <> 'auto_explain.log_min_duration'
    UNION ALL
    SELECT 'the server', 'auto_explain.log_min_duration', current_setting('auto_explain.log_min_duration', true)
    UNION ALL
    SELECT CASE WHEN s.setrole <> 0 THEN 'role ' || s.setrole::regrole ELSE 'database ' || d.datname END, lower(split_part(c.setting, '=', 1)),
           substr(c.setting, strpos(c.setting, '=') + 1)
    FROM pg_db_role_setting AS s CROSS JOIN unnest(s.setconfig) AS c (setting) LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
    WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND (s.setrole = 0 OR s.setrole IN (SELECT ours.role FROM ours))
)
SELECT format('logging of %s by %s', h.place, h.name), NULL::boolean,
       format('is %s: %s', h.value, CASE WHEN h.name ~ '^auto_explain' THEN 'plans are logged with the values that statements were bound with'
                                         WHEN h.name ~ 'on_error$' THEN 'what a failing statement was bound with is logged'
                                         ELSE 'statements are logged, with the values that they were bound with while log_parameter_max_length is not 0' END),
       CASE WHEN h.name ~ '^auto_explain' THEN 'set it to -1' WHEN h.name ~ 'on_error$' THEN 'set it to 0'
            ELSE 'set log_parameter_max_length = 0, and let the application bind its values' END, NULL::text
FROM held AS h
WHERE (h.name = 'log_statement' AND lower(h.value) IN ('mod', 'all')
       OR h.name IN ('log_min_duration_statement', 'log_min_duration_sample', 'auto_explain.log_min_duration') AND h.value !~ '^-'
       OR h.name = 'log_transaction_sample_rate' AND h.value !~ '^[0.]*$'
       OR h.name = 'log_parameter_max_length_on_error' AND h.value <> '0')
  AND (h.name ~ '^auto_explain' OR h.name ~ 'on_error$'
       OR NOT EXISTS (SELECT FROM held AS m WHERE m.name = 'log_parameter_max_length' AND m.value = '0' AND m.place IN ('the server', h.place)))
ORDER BY 1
