-- What of a table {organizations} that is there keeps organizations from being told apart or made: columns that need a value
-- which nobody gives, and subdomains that several have. Locks: ACCESS SHARE on it.
SELECT format('has the column %s, which needs a value that Stockfoil does not know', a.attname),
       'give it a default, or let it be NULL'
FROM pg_attribute AS a
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND NOT a.atthasdef
  AND a.attidentity = '' AND a.attname NOT IN ('id', 'name', 'subdomain', 'is_active', 'created_at', 'updated_at')
UNION ALL
SELECT format('has several organizations of the subdomain %s', o.subdomain), 'leave it to one of them'
FROM {organizations} AS o
WHERE o.subdomain IS NOT NULL
GROUP BY o.subdomain
HAVING count(*) > 1
ORDER BY 1
LIMIT 10
