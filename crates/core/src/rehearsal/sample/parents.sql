-- The places of the rows of {parent} that the rows of {child} at the places $1 refer to. Locks: ACCESS SHARE on both.
SELECT DISTINCT p.tableoid::int8, p.ctid::text
FROM ONLY {child} AS c
JOIN {parent} AS p ON {condition}
WHERE c.ctid = ANY ($1::text[]::tid[])
