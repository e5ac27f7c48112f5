-- What depends on that which goes with the balances: the table $1 with its row type, functions of the schema stockfoil of
-- the names $2, and the columns $4 of the tables $3; but for what goes along, and triggers, which go first.
-- Locks: none beyond the catalog's own.
WITH gone AS (
    SELECT 'pg_class'::regclass::oid AS classid, c.oid AS objid, NULL::int AS objsubid
    FROM pg_class AS c WHERE c.oid = to_regclass($1::text)
    UNION ALL
    SELECT 'pg_type'::regclass, t.oid, NULL FROM pg_type AS t
    WHERE t.typrelid = to_regclass($1::text)
       OR t.typelem <> 0 AND t.typelem IN (SELECT r.oid FROM pg_type AS r WHERE r.typrelid = to_regclass($1::text))
    UNION ALL
    SELECT 'pg_proc'::regclass, p.oid, NULL FROM pg_proc AS p
    WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname = ANY ($2::text[])
    UNION ALL
    SELECT 'pg_class'::regclass, a.attrelid, a.attnum
    FROM unnest($3::text[], $4::text[]) AS c (relation, name)
    JOIN pg_attribute AS a ON a.attrelid = to_regclass(c.relation) AND a.attname = c.name AND NOT a.attisdropped
)
SELECT regexp_replace(pg_describe_object(g.classid, g.objid, coalesce(g.objsubid, 0)), ' public\.', ' '),
       'is used by ' || string_agg(DISTINCT regexp_replace(
           CASE WHEN r.oid IS NULL THEN pg_describe_object(d.classid, d.objid, d.objsubid)
                ELSE pg_describe_object('pg_class'::regclass, r.ev_class, 0) END, ' public\.', ' '), ', ')
FROM gone AS g
JOIN pg_depend AS d ON d.refclassid = g.classid AND d.refobjid = g.objid
    AND (g.objsubid IS NULL OR d.refobjsubid = g.objsubid) AND d.deptype = 'n'
LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_constraint AS k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
LEFT JOIN pg_policy AS p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
LEFT JOIN pg_attrdef AS f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
WHERE d.classid <> 'pg_trigger'::regclass
  AND coalesce(r.ev_class, k.conrelid, p.polrelid, f.adrelid,
               CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid END, 0) NOT IN
      (SELECT t.objid FROM gone AS t WHERE t.classid = 'pg_class'::regclass AND t.objsubid IS NULL)
  AND NOT EXISTS (SELECT FROM gone AS t WHERE t.classid = d.classid AND t.objid = d.objid)
GROUP BY g.classid, g.objid, g.objsubid
ORDER BY 1
