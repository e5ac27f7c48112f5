-- The tables that hold rows, but for PostgreSQL's, extensions' and temporary ones: schema, name, and how many rows each has, as
-- they were counted last (less than 0 where they never were).
-- Locks: none.
SELECT n.nspname::text, c.relname::text, c.reltuples
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d
                  WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
