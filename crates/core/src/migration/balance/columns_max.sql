-- How many of the columns $2 table $1 or a partition of it lacks and has no room for, if any: dropped ones count.
-- Locks: none.
SELECT max(l.lacks)
FROM pg_class AS c
CROSS JOIN LATERAL (
    SELECT count(*) AS lacks FROM unnest($2::text[]) AS n
    WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = n AND NOT a.attisdropped)
) AS l
WHERE (c.oid = to_regclass($1) OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass($1))))
  AND l.lacks > 0 AND c.relnatts + l.lacks > 1600
HAVING count(*) > 0
