-- How many of a table's first rows there are, and how many keys they have. $1: how many rows are looked at.
-- Locks: ACCESS SHARE on the table, which stops no writer.
SELECT count(*) AS rows, count(DISTINCT s.k) AS keys
FROM (SELECT ROW({columns})::text AS k FROM {table} AS t LIMIT $1) AS s
