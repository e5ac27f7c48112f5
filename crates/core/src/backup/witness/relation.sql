-- The table whose file is called $2, in the tablespace $1 (0: the database's own), of the database whose number is $3: schema, name.
-- Locks: none.
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_database AS d
JOIN pg_catalog.pg_class AS c ON c.oid = pg_catalog.pg_filenode_relation($1, $2)
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE d.datname = current_database() AND d.oid = $3
