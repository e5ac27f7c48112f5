-- The tables $1 whose row-level security holds for this role, so that it would fill and check those rows alone that it
-- sees; $2 is the organization's column. Where isolation is Stockfoil's own, all is filled. Locks: none.
SELECT regexp_replace(c.oid::regclass::text, '^public\.', ''), 'has row-level security that holds for this role, which would pass over rows'
FROM pg_class AS c
WHERE c.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n) AND $2::text IS NOT NULL
  AND row_security_active(c.oid)
  AND NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'stockfoil_isolation')
ORDER BY 1
