-- The table $2.$3, whether it is a partition of the ledger $1, and what closing $4 knows of a partition of that name that is none
-- any more.
-- Locks: nothing but the catalog's own.
SELECT c.oid::bigint AS relation,
       coalesce(i.inhparent = to_regclass($1)::oid, false) AS is_attached,
       coalesce(c.relispartition, false) AS is_partition,
       c.oid IS NOT NULL AND c.relkind NOT IN ('r', 'p') AS is_no_table,
       pg_get_expr(c.relpartbound, c.oid) AS bounds,
       pg_get_partition_constraintdef(c.oid) AS condition,
       (SELECT a.archived_as FROM stockfoil.archived_partition AS a
        WHERE a.replacement = c.oid AND a.archived_at IS NOT NULL
        ORDER BY a.id DESC LIMIT 1) AS archived_as,
       EXISTS (SELECT FROM stockfoil.archived_partition AS a
               WHERE a.replacement = c.oid AND a.archived_at IS NOT NULL) AS is_archived,
       k.bounds AS closed_bounds, k.condition AS closed_condition,
       (SELECT concat_ws('.', nullif(o.schema_name, 'public'), o.table_name)
        FROM stockfoil.closing_partition AS o
        WHERE o.closing_id = $4 AND o.newest_at > k.newest_at
          AND o.relation NOT IN (SELECT relid::bigint FROM pg_partition_tree(to_regclass($1)))
        ORDER BY o.newest_at DESC LIMIT 1) AS newer_gone
FROM (SELECT) AS one
LEFT JOIN (pg_catalog.pg_class AS c
           JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
           LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid) ON n.nspname = $2 AND c.relname = $3
LEFT JOIN stockfoil.closing_partition AS k
    ON k.closing_id = $4 AND k.schema_name = $2 AND k.table_name = $3
   AND k.relation NOT IN (SELECT relid::bigint FROM pg_partition_tree(to_regclass($1)))
