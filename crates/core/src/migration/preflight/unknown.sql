-- Organizations that rows of the table name and that are not there, those first that may be no ids; the default one comes
-- with the migration.
-- Locks: ACCESS SHARE on the table, which it reads whole.
SELECT t.{org}::text, count(*) FROM {table} AS t
WHERE t.{org} IS NOT NULL AND t.{org}::text <> $1 AND {unknown}
GROUP BY 1 ORDER BY t.{org}::text ~ '^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,62}$', 2 DESC, 1 LIMIT 11
