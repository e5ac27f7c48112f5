-- Statements that read or return every column of the tables $1: prepared before the column $2 is there, each fails once
-- with "cached plan must not change result type". Locks: none.
SELECT regexp_replace(t.oid::regclass::text, '^public\.', ''),
       format('%s statements in pg_stat_statements read or return all columns, such as: %s', count(*),
              left(regexp_replace(min(s.query), '\s+', ' ', 'g'), 160))
FROM pg_class AS t
JOIN {statements} AS s
  ON s.query ~* format('\y"?%s"?\y', regexp_replace(t.relname, '([^a-zA-Z0-9_])', '\\\1', 'g'))
 AND s.query ~* '(select|returning)\s+("?[a-z0-9_]+"?\.)?\*'
WHERE t.oid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND NOT EXISTS (SELECT FROM pg_attribute AS a
                  WHERE a.attrelid = t.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)
GROUP BY t.oid
ORDER BY 1
