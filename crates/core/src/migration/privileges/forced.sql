-- The tables among Stockfoil's own objects that were not there before ($1, their addresses) and whose policies hold for their
-- owner too: schema and name. Locks: none.
WITH own AS ({own})
SELECT o.schema_name, o.name
FROM own AS o
JOIN pg_class AS c ON o.address = 'r' || c.oid::text AND c.relforcerowsecurity
WHERE o.kind = 'table' AND o.address <> ALL ($1::text[])
ORDER BY 1, 2
