-- The sequences that whole numbers of table $1 come from: column, sequence, and how many numbers a session takes at once.
-- Locks: none beyond the catalog's own.
SELECT a.attname::text AS column_name, n.nspname::text AS schema_name, s.relname::text AS sequence_name, q.seqcache
FROM pg_attribute AS a
JOIN pg_depend AS d ON
    d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.objid = (SELECT f.oid FROM pg_attrdef AS f WHERE f.adrelid = a.attrelid AND f.adnum = a.attnum)
    OR d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
        AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i'
JOIN pg_class AS s ON s.relkind = 'S' AND s.oid = CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid ELSE d.refobjid END
JOIN pg_namespace AS n ON n.oid = s.relnamespace
JOIN pg_sequence AS q ON q.seqrelid = s.oid AND q.seqincrement > 0
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
  AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)
ORDER BY 1, 2, 3
