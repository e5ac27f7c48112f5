-- Whether a column has any value among a table's first rows, or the table no row. $1: how many rows are looked at.
-- Locks: ACCESS SHARE on the table, which stops no writer.
SELECT count(*) = 0 OR count(s.v) > 0
FROM (SELECT {column} AS v FROM {table} AS t LIMIT $1) AS s
