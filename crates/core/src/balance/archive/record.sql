-- Ends the record $1 of an archive, and makes what closing $2 knows of its partitions what is there now: the partition
-- $3.$4 is the replacement, and those under $9, which was detached, or all that are gone (NULL), are in it.
-- Locks: rows of stockfoil.archived_partition and stockfoil.closing_partition.
WITH ended AS (
    UPDATE stockfoil.archived_partition
    SET archived_at = clock_timestamp(), archived_as = $5, keys = $6, entries = $7, brought_forward = $8, fence = NULL
    WHERE id = $1
    RETURNING replacement, bounds, newest_at
), gone AS (
    DELETE FROM stockfoil.closing_partition AS k
    WHERE k.closing_id = $2
      AND CASE WHEN $9::bigint IS NULL THEN k.relation NOT IN (SELECT relid::bigint FROM pg_partition_tree(to_regclass($10)))
               ELSE k.relation = $9 OR k.relation IN (SELECT relid::bigint FROM pg_partition_tree($9::bigint::oid)) END
)
INSERT INTO stockfoil.closing_partition (closing_id, relation, schema_name, table_name, bounds, condition, newest_at)
SELECT $2, e.replacement, $3, $4, e.bounds, pg_get_partition_constraintdef(e.replacement::oid), e.newest_at
FROM ended AS e
WHERE $8 > 0
