-- Statements of applications that need a unique key of the tables $1 that has to go; $2 is the organization's column.
-- Locks: none.
WITH conflict AS ({on_conflict_query})
SELECT conflict.object,
       format('is the ON CONFLICT target of %s statements in pg_stat_statements, such as: %s', count(*),
              left(regexp_replace(min(s.query), '\s+', ' ', 'g'), 160))
FROM conflict
JOIN {statements} AS s ON s.query ~* conflict.pattern
WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
GROUP BY conflict.object
ORDER BY 1
