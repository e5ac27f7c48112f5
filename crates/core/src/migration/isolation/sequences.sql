-- The sequences that columns of the tables $1 take their values from. Locks: none.
SELECT DISTINCT n.nspname::text, s.relname::text
FROM pg_depend AS d
JOIN pg_class AS s ON s.relkind = 'S'
JOIN pg_namespace AS n ON n.oid = s.relnamespace
LEFT JOIN pg_attrdef AS f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
WHERE n.nspname <> 'stockfoil'
  AND ((d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
        AND d.refobjid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t))
       OR (d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid AND f.adrelid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t)))
ORDER BY 1, 2
