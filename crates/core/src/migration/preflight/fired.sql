-- Triggers and rules that the UPDATE fires by which rows of the tables $1 get their organization: those that have the column $2
-- already, and may lack it in rows. Locks: none.
SELECT regexp_replace(f.relid::regclass::text, '^public\.', ''),
       format('is filled by UPDATE where rows lack %s, which fires %s (ALTER TABLE %s DISABLE TRIGGER or RULE for the time of the run keeps them from it)',
              $2, string_agg(f.name, ', ' ORDER BY f.name), f.relid::regclass)
FROM (
    SELECT t.tgrelid AS relid, t.tgname::text AS name, t.tgattr::int2[] AS columns
    FROM pg_trigger AS t WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & 16 <> 0
    UNION ALL
    SELECT r.ev_class, 'rule ' || r.rulename, '{}' FROM pg_rewrite AS r WHERE r.ev_type = '2' AND r.ev_enabled IN ('O', 'A')
) AS f
JOIN pg_attribute AS a ON a.attrelid = f.relid AND a.attname = $2 AND NOT a.attisdropped AND NOT a.attnotnull
WHERE f.relid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  -- Of certain columns only: it is another one that is set.
  AND (cardinality(f.columns) = 0 OR a.attnum = ANY (f.columns))
GROUP BY f.relid
ORDER BY 1
