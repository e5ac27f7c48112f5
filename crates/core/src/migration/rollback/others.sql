-- Organizations other than $1 that have rows of the table, and how many. Locks: ACCESS SHARE on the table.
SELECT {org}::text, count(*) FROM {table} WHERE {org}::text <> $1 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 11
