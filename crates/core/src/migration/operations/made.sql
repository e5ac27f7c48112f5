-- What there is in Stockfoil's schema beside what was there before ($1, addresses): table, sequence or routine, its name, and of a
-- routine its signature; without the function $2, which is everybody's. Locks: none.
SELECT o.kind, o.name, CASE o.kind WHEN 'routine' THEN substr(o.address, 2)::oid::regprocedure::text ELSE o.object END
FROM ({own}) AS o
WHERE o.address <> ALL ($1::text[]) AND o.schema_name = 'stockfoil' AND o.kind IN ('table', 'sequence', 'routine') AND o.name <> $2
ORDER BY o.kind, 3
