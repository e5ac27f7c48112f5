-- Records in closing $1 that all entries of partition $3 are before $2, if that is so and it has any; with its bounds.
-- Locks: ACCESS SHARE on the partition, which stops no writer; the new row of stockfoil.closing_partition.
INSERT INTO stockfoil.closing_partition (closing_id, relation, schema_name, table_name, bounds, condition, newest_at)
SELECT $1, c.oid::bigint, n.nspname, c.relname, pg_get_expr(c.relpartbound, c.oid), pg_get_partition_constraintdef(c.oid),
       (SELECT max(e.created_at)::timestamptz FROM (
{postings}
       ) AS e)
FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid
WHERE c.oid = to_regclass($3) AND i.inhparent = to_regclass($4) AND pg_get_partition_constraintdef(c.oid) IS NOT NULL
  AND NOT EXISTS (SELECT FROM (
{postings}
      ) AS e WHERE e.created_at >= $2)
  AND EXISTS (SELECT FROM (
{postings}
      ) AS e)
