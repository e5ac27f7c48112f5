-- What of a table {organizations} that is there keeps organizations from being told apart or made: columns that need a value
-- which nobody gives, and subdomains that several have, that several could get, or that nobody is found by. Locks: ACCESS SHARE on it.
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
UNION ALL
SELECT 'has no unique key of its subdomain alone: one could lead to two organizations', format('CREATE UNIQUE INDEX CONCURRENTLY ON %s (subdomain)', $1)
WHERE to_regclass($1) IS NOT NULL AND NOT EXISTS (
    SELECT FROM pg_index AS i JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attname = 'subdomain'
    WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1
      AND (i.indkey[0] = a.attnum OR pg_get_indexdef(i.indexrelid, 1, true) = 'lower(subdomain)')
      AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) = '(subdomain IS NOT NULL)'))
UNION ALL
SELECT 'has subdomains with capital letters, which lead to nobody: a host''s name is looked up in small ones', format('UPDATE %s SET subdomain = lower(subdomain)', $1)
FROM {organizations} AS o
WHERE o.subdomain <> lower(o.subdomain COLLATE "C")
GROUP BY 1
UNION ALL
SELECT format('has the organization %L, an id that no command takes', o.id),
       'call it by 1 to 63 letters, digits, ''-'', ''_'' or ''.'' (a number: above zero), in it and in all that refers to it'
FROM {organizations} AS o
WHERE o.id::text !~ '^[A-Za-z0-9_.-]{1,63}$' OR (pg_typeof(o.id)::text IN ('smallint', 'integer', 'bigint') AND o.id::text ~ '^[-0]')
ORDER BY 1
LIMIT 10
