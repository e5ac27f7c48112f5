-- About how many bytes an index on table $1 takes: as the largest of its unique ones, or 40 bytes a row. Locks: none.
SELECT greatest(coalesce(max(c.relpages)::bigint * current_setting('block_size')::bigint, 0),
                (SELECT greatest(t.reltuples, 0)::bigint * 40 FROM pg_class AS t WHERE t.oid = to_regclass($1)))
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass($1) AND i.indisunique
