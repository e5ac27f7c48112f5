-- The tables of this database that hold rows, with the columns that are stored, and whether each is no
-- partition and may be read as a whole; none of PostgreSQL's or of an extension's. Locks: none beyond the catalog's own.
SELECT c.oid::int8, n.nspname::text, c.relname::text,
       ARRAY(SELECT a.attname::text FROM pg_attribute AS a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
             ORDER BY a.attnum),
       NOT c.relispartition AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid)
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't'
  AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend AS d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
