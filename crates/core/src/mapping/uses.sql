-- What the view of the mapping's SQL uses beside the row: relations, and functions or operators that are neither
-- built in nor an extension's, those that the checks of its domains call too. (What is built in has no entries in
-- pg_depend.)
-- Locks: none beyond the catalog's own.
WITH RECURSIVE used AS (
    SELECT d.refclassid, d.refobjid
    FROM pg_depend d
    JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE r.ev_class = to_regclass('pg_temp.stockfoil_value')
), types (oid) AS (
    SELECT refobjid FROM used WHERE refclassid = 'pg_type'::regclass
    UNION
    SELECT part.oid
    FROM types
    JOIN pg_type t ON t.oid = types.oid
    CROSS JOIN LATERAL (
        SELECT unnest(ARRAY[t.typbasetype, t.typelem])
        UNION ALL
        SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS part (oid)
    WHERE part.oid <> 0
), all_used AS (
    SELECT refclassid, refobjid FROM used
    UNION
    SELECT d.refclassid, d.refobjid
    FROM types
    JOIN pg_constraint k ON k.contypid = types.oid
    JOIN pg_depend d ON d.classid = 'pg_constraint'::regclass AND d.objid = k.oid
)
SELECT DISTINCT pg_describe_object(d.refclassid, d.refobjid, 0)
FROM all_used d
WHERE d.refclassid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass)
  AND d.refobjid NOT IN (to_regclass('pg_temp.stockfoil_value'), to_regclass('pg_temp.stockfoil_row'))
  AND NOT (d.refclassid <> 'pg_class'::regclass
           AND EXISTS (SELECT FROM pg_depend e
                       WHERE e.classid = d.refclassid AND e.objid = d.refobjid
                         AND e.refclassid = 'pg_extension'::regclass AND e.deptype = 'e'))
ORDER BY 1
