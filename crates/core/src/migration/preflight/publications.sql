-- Publications of the tables $1 that do not have the column $2 yet. Locks: none.
SELECT regexp_replace(t.oid::regclass::text, '^public\.', ''),
       'is published by ' || string_agg(p.pubname, ', ' ORDER BY p.pubname)
       || ', and a subscriber without the column stops'
FROM pg_class AS t
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_publication_tables AS p ON p.schemaname = n.nspname AND p.tablename = t.relname
WHERE t.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND NOT EXISTS (SELECT FROM pg_attribute AS a
                  WHERE a.attrelid = t.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)
GROUP BY t.oid
ORDER BY 1
