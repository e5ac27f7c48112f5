-- Who writes the ledger $1 by a setting under which no trigger fires: session_replication_role, of a database and a role.
-- Locks: none.
SELECT CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'every role of the server'
            WHEN s.setrole = 0 THEN format('every role in database %s', current_database())
            ELSE format('role %s', pg_get_userbyid(s.setrole)) END,
       s.setrole = 0
FROM pg_db_role_setting AS s
WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND EXISTS (SELECT FROM unnest(s.setconfig) AS c WHERE lower(c) = 'session_replication_role=replica')
  AND (s.setrole = 0 OR has_table_privilege(s.setrole, to_regclass($1), 'INSERT, UPDATE, DELETE'))
UNION ALL
SELECT 'every role of the server', true
FROM pg_settings
WHERE name = 'session_replication_role' AND setting = 'replica' AND source IN ('configuration file', 'command line', 'environment variable')
ORDER BY 1
