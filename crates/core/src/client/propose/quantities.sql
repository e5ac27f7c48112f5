-- The least and the greatest of a column's first values. $1: how many rows are looked at.
-- Locks: ACCESS SHARE on the table, which stops no writer.
SELECT count(s.q) AS rows, trim_scale(min(s.q))::text AS least, trim_scale(max(s.q))::text AS greatest,
       coalesce(min(s.q) < 0, false) AS any_negative
FROM (SELECT {column}::numeric AS q FROM {table} AS t LIMIT $1) AS s
