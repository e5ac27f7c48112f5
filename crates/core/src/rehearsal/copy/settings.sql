-- Statements that give a copy of this database the settings of the server's own configuration by which statements mean what
-- they mean. Locks: none beyond the catalog's own.
SELECT format('ALTER DATABASE %I SET %I TO %s', current_database(), s.name,
              -- A list is printed as it is written, name by name.
              CASE WHEN s.name = 'search_path' THEN s.setting ELSE quote_literal(s.setting) END)
FROM pg_settings AS s
WHERE s.source IN ('configuration file', 'command line', 'environment variable') AND s.context IN ('user', 'superuser')
  AND (s.category IN ('Client Connection Defaults / Statement Behavior', 'Client Connection Defaults / Locale and Formatting')
       OR s.category LIKE 'Version and Platform Compatibility%')
  AND s.name NOT LIKE '%timeout' AND s.name NOT IN ('default_tablespace', 'temp_tablespaces', 'client_encoding', 'lc_messages')
ORDER BY s.name
