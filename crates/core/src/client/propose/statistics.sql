-- How many rows the tables of some schemas are believed to hold (NULL before the first ANALYZE), and how many were
-- inserted, updated and deleted since the statistics began. A partitioned table's are those of its partitions.
-- Locks: none but those of reading the catalog.
SELECT n.nspname::text AS schema_name, c.relname::text AS table_name,
       CASE WHEN bool_and(l.reltuples >= 0) THEN sum(l.reltuples)::bigint END AS rows,
       coalesce(sum(pg_catalog.pg_stat_get_tuples_inserted(l.oid)), 0)::bigint AS inserts,
       coalesce(sum(pg_catalog.pg_stat_get_tuples_updated(l.oid)), 0)::bigint AS updates,
       coalesce(sum(pg_catalog.pg_stat_get_tuples_deleted(l.oid)), 0)::bigint AS deletes
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT c.oid UNION SELECT p.relid::oid FROM pg_catalog.pg_partition_tree(c.oid) p) AS t (oid)
JOIN pg_catalog.pg_class l ON l.oid = t.oid AND l.relkind IN ('r', 'f')
WHERE n.nspname = ANY ($1) AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
GROUP BY n.nspname, c.relname
