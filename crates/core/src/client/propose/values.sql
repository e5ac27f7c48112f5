-- The different values among a column's first ones, as text. $1: how many rows are looked at; $2: how many values.
-- Locks: ACCESS SHARE on the table, which stops no writer.
SELECT DISTINCT s.v
FROM (SELECT {column}::text AS v FROM {table} AS t LIMIT $1) AS s
WHERE s.v IS NOT NULL
ORDER BY s.v
LIMIT $2
