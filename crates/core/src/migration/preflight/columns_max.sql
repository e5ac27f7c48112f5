-- The tables $1 that take no further column, and lack $2: PostgreSQL counts those that were dropped. Locks: none.
SELECT regexp_replace(c.oid::regclass::text, '^public\.', ''), 'has had 1600 columns, those that were dropped counted, and takes no more'
FROM pg_class AS c
WHERE c.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND c.relnatts >= 1600
  AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped)
ORDER BY 1
