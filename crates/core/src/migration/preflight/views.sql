-- Views over the tables $1: they keep the columns that they had, without $2. Locks: none.
SELECT DISTINCT 'view ' || regexp_replace(v.oid::regclass::text, '^public\.', ''),
       format('keeps showing %s without its organization', regexp_replace(t.oid::regclass::text, '^public\.', ''))
FROM pg_class AS t
JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid AND d.classid = 'pg_rewrite'::regclass
JOIN pg_rewrite AS r ON r.oid = d.objid
JOIN pg_class AS v ON v.oid = r.ev_class AND v.relkind IN ('v', 'm')
WHERE t.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND NOT EXISTS (SELECT FROM pg_attribute AS a
                  WHERE a.attrelid = t.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)
ORDER BY 1
