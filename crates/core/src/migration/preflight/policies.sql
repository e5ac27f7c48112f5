-- The tables $1 that have row-level security of the application's own; $2 is the organization's column. Locks: none.
SELECT regexp_replace(c.oid::regclass::text, '^public\.', ''),
       'has row-level security of its own, which knows of no organization and stays as it is; validate-migration --isolation says what it leaves open'
FROM pg_class AS c
WHERE c.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n) AND $2::text IS NOT NULL
  AND c.relrowsecurity
  AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'stockfoil_isolation')
ORDER BY 1
