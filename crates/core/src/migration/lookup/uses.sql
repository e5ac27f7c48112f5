-- How many scans went by index $1 and its partitions', when the last did (where the server keeps that), their size, and
-- since when: the index $4 of table $3 in schema $2 was noted, or the counts were reset. Locks: none.
SELECT coalesce(sum(s.idx_scan), 0)::bigint, max((to_jsonb(s) ->> 'last_idx_scan')::timestamptz),
       coalesce(sum(pg_relation_size(s.indexrelid)), 0)::bigint,
       greatest((SELECT changed_at FROM stockfoil.change
                 WHERE kind = 'index' AND schema_name = $2 AND table_name = $3 AND name = $4),
                (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database()))
FROM pg_stat_user_indexes AS s
WHERE s.indexrelid = to_regclass($1) OR s.indexrelid IN (SELECT relid FROM pg_partition_tree(to_regclass($1)))
