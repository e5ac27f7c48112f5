-- How many of a column's first values there are, and how many of them another table's key has. $1: how many rows are looked at.
-- Locks: ACCESS SHARE on both tables, which stops no writer.
SELECT count(*) AS rows, count(*) FILTER (WHERE EXISTS (SELECT FROM {parent} AS p WHERE p.{parent_key} = s.v)) AS found
FROM (SELECT {column} AS v FROM {table} AS t WHERE {column} IS NOT NULL LIMIT $1) AS s
