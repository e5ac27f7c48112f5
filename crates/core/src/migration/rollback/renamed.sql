-- The tables $1 but for $2 that have a foreign key onto table $3. Locks: none.
SELECT DISTINCT regexp_replace(f.conrelid::regclass::text, '^public\.', '')
FROM pg_constraint AS f
WHERE f.contype = 'f' AND f.conparentid = 0 AND f.confrelid = to_regclass($3)
  AND f.conrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND f.conrelid NOT IN (SELECT to_regclass(n)::oid FROM unnest($2::text[]) AS n WHERE to_regclass(n) IS NOT NULL)
ORDER BY 1
