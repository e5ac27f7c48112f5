-- The foreign keys of the database, each with both tables; a partition's are those of the table that it is a part of.
-- Locks: none beyond the catalog's own.
SELECT DISTINCT k.conname::text AS name,
       cn.nspname::text AS child_schema, c.relname::text AS child_table,
       pn.nspname::text AS parent_schema, p.relname::text AS parent_table,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
             JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place) AS parent_columns,
       k.condeferrable AS is_deferrable
FROM pg_constraint AS k
JOIN pg_class AS c ON c.oid = coalesce(pg_partition_root(k.conrelid), k.conrelid)
JOIN pg_namespace AS cn ON cn.oid = c.relnamespace
JOIN pg_class AS p ON p.oid = coalesce(pg_partition_root(k.confrelid), k.confrelid)
JOIN pg_namespace AS pn ON pn.oid = p.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0
ORDER BY 2, 3, 4, 5, 1
