-- What all databases of the cluster share, PostgreSQL's own aside, and the databases that can be connected to: kind and name.
-- Locks: none.
SELECT 'ROLE', rolname::text FROM pg_catalog.pg_roles WHERE rolname NOT LIKE 'pg\_%'
UNION ALL
SELECT 'TABLESPACE', spcname::text FROM pg_catalog.pg_tablespace WHERE spcname NOT LIKE 'pg\_%'
UNION ALL
SELECT 'DATABASE', datname::text FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate
