-- What the view of the mapping's SQL uses beside the row: relations, and functions or operators that are neither
-- built in nor an extension's. (What is built in has no entries in pg_depend.)
-- Locks: none beyond the catalog's own.
SELECT DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0)
FROM pg_depend d
JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
WHERE r.ev_class = to_regclass('pg_temp.stockfoil_value')
  AND d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass)
  AND d.refobjid NOT IN (to_regclass('pg_temp.stockfoil_value'), to_regclass('pg_temp.stockfoil_row'))
  AND NOT (d.refclassid <> 'pg_class'::regclass
           AND EXISTS (SELECT FROM pg_depend e
                       WHERE e.classid = d.refclassid AND e.objid = d.refobjid
                         AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e'))
ORDER BY 1
