-- The settings by which statements mean what they mean, as a new session of this role has them, where they are set for the
-- server, the database or the role: names and values. Locks: none beyond the catalog's own.
SELECT coalesce(json_agg(json_build_array(s.name, s.value) ORDER BY s.name), '[]')
FROM (SELECT p.name, p.setting AS value
      FROM pg_settings AS p
      WHERE p.context IN ('user', 'superuser')
        AND (p.source IN ('database', 'user', 'database user')
             OR p.source IN ('configuration file', 'command line', 'environment variable')
                AND (p.category IN ('Client Connection Defaults / Statement Behavior', 'Client Connection Defaults / Locale and Formatting')
                     OR p.category LIKE 'Version and Platform Compatibility%'))
        AND p.name NOT LIKE '%timeout' AND p.name NOT LIKE '%preload\_libraries'
        -- A list of schemas is taken from a session.
        AND p.name NOT IN ('search_path', 'default_tablespace', 'temp_tablespaces', 'client_encoding', 'lc_messages',
                           'default_transaction_read_only', 'row_security', 'role')
      UNION ALL
      SELECT DISTINCT n.name, current_setting(n.name, true)
      FROM pg_db_role_setting AS s, unnest(s.setconfig) AS c, LATERAL (SELECT split_part(c, '=', 1) AS name) AS n
      WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
        AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = current_user))
        AND n.name LIKE '%.%' AND current_setting(n.name, true) <> ''
        -- Of one that a library defined, the first part knows.
        AND NOT EXISTS (SELECT FROM pg_settings AS p WHERE p.name = n.name)) AS s
