-- The tables $1 that COPY FROM was called for, as pg_stat_statements has seen it.
-- Locks: none.
SELECT regexp_replace(c.oid::regclass::text, '^public\.', ''),
       format('%s COPY ... FROM of %s in pg_stat_statements, which fails for whom row-level security binds, such as: %s', count(*), string_agg(DISTINCT r.rolname, ', '),
              left(regexp_replace(min(s.query), '\s+', ' ', 'g'), 160))
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN {statements} AS s ON s.query ~* ('^\s*copy\s+("?' || regexp_replace(n.nspname, '(\W)', '\\\1', 'g') || '"?\s*\.\s*)?"?' || regexp_replace(c.relname, '(\W)', '\\\1', 'g') || '"?\s*(\([^)]*\)\s*)?from\M')
JOIN pg_roles AS r ON r.oid = s.userid
WHERE c.oid IN (SELECT to_regclass(t)::oid FROM unnest($1::text[]) AS t) AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY c.oid
ORDER BY 1
