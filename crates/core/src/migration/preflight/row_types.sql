-- Columns that hold whole rows of the tables $1, which PostgreSQL lets get no column $2 with a default. Locks: none.
SELECT regexp_replace(a.attrelid::regclass::text, '^public\.', '') || '.' || a.attname,
       format('holds rows of %s, which can''t get a column while it does', regexp_replace(t.oid::regclass::text, '^public\.', ''))
FROM pg_class AS t
JOIN pg_type AS y ON y.oid = t.reltype
JOIN pg_attribute AS a ON a.atttypid IN (y.oid, y.typarray) AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_class AS r ON r.oid = a.attrelid AND r.relkind IN ('r', 'p', 'm')
WHERE t.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND NOT EXISTS (SELECT FROM pg_attribute AS o
                  WHERE o.attrelid = t.oid AND o.attname = $2 AND o.attnum > 0 AND NOT o.attisdropped)
ORDER BY 1
