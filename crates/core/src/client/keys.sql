-- The primary and unique keys over whole columns, primary ones first; partial and expression indexes name no row, and ON
-- CONFLICT can't go by a key WITHOUT OVERLAPS.
-- Locks: none but those of reading the catalog.
SELECT n.nspname::text AS schema_name, c.relname::text AS table_name, i.indisprimary AS is_primary,
       array_agg(a.attname::text ORDER BY k.place) AS columns
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
WHERE n.nspname = ANY ($1)
  AND NOT c.relispartition
  AND i.indisunique AND NOT i.indisexclusion AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND k.place <= i.indnkeyatts
GROUP BY i.indexrelid, n.nspname, c.relname, i.indisprimary
ORDER BY i.indisprimary DESC, array_agg(a.attname::text COLLATE "C" ORDER BY k.place)
