-- What calls a function of Stockfoil's and would keep it from going, or is a column of Stockfoil's that nothing takes along, but for the defaults of the tables $1 and what is
-- Stockfoil's own: its schema, the triggers of the balances, which their rollback drops, policies of the name $2. Locks: none.
SELECT CASE WHEN d.classid = 'pg_attrdef'::regclass
            THEN regexp_replace(t.adrelid::regclass::text, '^public\.', '') || '.' || (SELECT a.attname FROM pg_attribute AS a WHERE a.attrelid = t.adrelid AND a.attnum = t.adnum)
            ELSE regexp_replace(pg_describe_object(d.classid, d.objid, 0), ' public\.', ' ') END,
       CASE WHEN d.classid = 'pg_attrdef'::regclass
            THEN format('has the default %s, which goes, and is no tenant table''s (a partition that was detached, or a copy)', p.oid::regproc)
            ELSE format('uses function %s, which goes', p.oid::regproc) END
FROM pg_proc AS p
JOIN pg_depend AS d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid AND d.deptype = 'n'
LEFT JOIN pg_attrdef AS t ON d.classid = 'pg_attrdef'::regclass AND t.oid = d.objid
LEFT JOIN pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
WHERE p.pronamespace = to_regnamespace('stockfoil')
  AND d.classid <> 'pg_trigger'::regclass
  AND NOT (d.classid = 'pg_policy'::regclass AND EXISTS (SELECT FROM pg_policy AS o WHERE o.oid = d.objid AND o.polname = $2))
  AND NOT (d.classid = 'pg_proc'::regclass AND EXISTS (SELECT FROM pg_proc AS o WHERE o.oid = d.objid AND o.pronamespace = p.pronamespace))
  AND (t.oid IS NULL OR t.adrelid NOT IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n WHERE to_regclass(n) IS NOT NULL))
UNION ALL
SELECT regexp_replace(a.attrelid::regclass::text, '^public\.', '') || '.stockfoil_tx',
       'is Stockfoil''s, and no tenant table''s (a partition that was detached, or a copy)'
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
WHERE a.attname = 'stockfoil_tx' AND NOT a.attisdropped AND c.relnamespace <> to_regnamespace('stockfoil')
  AND a.attrelid NOT IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n WHERE to_regclass(n) IS NOT NULL)
ORDER BY 1
