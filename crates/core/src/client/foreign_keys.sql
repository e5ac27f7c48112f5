-- The foreign keys of the tables in some schemas.
-- Locks: none but those of reading the catalog.
SELECT n.nspname::text AS schema_name, c.relname::text AS table_name,
       fn.nspname::text AS foreign_schema, f.relname::text AS foreign_table,
       array_agg(a.attname::text ORDER BY k.place) AS columns,
       array_agg(fa.attname::text ORDER BY k.place) AS foreign_columns
FROM pg_catalog.pg_constraint x
JOIN pg_catalog.pg_class c ON c.oid = x.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class f ON f.oid = x.confrelid
JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
CROSS JOIN LATERAL unnest(x.conkey, x.confkey) WITH ORDINALITY AS k (attnum, foreign_attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
JOIN pg_catalog.pg_attribute fa ON fa.attrelid = f.oid AND fa.attnum = k.foreign_attnum
WHERE x.contype = 'f' AND n.nspname = ANY ($1) AND NOT c.relispartition AND NOT f.relispartition
GROUP BY x.oid, n.nspname, c.relname, fn.nspname, f.relname
ORDER BY array_agg(a.attname::text COLLATE "C" ORDER BY k.place), fn.nspname COLLATE "C", f.relname COLLATE "C"
