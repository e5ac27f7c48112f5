-- Exclusion constraints of the tables $1 that do not compare the column $2: they stay as they are, and reach across
-- organizations. Locks: none.
SELECT regexp_replace(k.conrelid::regclass::text, '^public\.', '') || '.' || k.conname,
       'is an exclusion constraint that reaches across organizations, and stays as it is'
FROM pg_constraint AS k
WHERE k.contype = 'x' AND k.conrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = k.conrelid AND a.attname = $2 AND a.attnum = ANY (k.conkey))
ORDER BY 1
