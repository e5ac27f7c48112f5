-- The columns of the tables in some schemas, by name; types come from types.sql.
-- Locks: none but those of reading the catalog. The empty search_path makes format_type name schemas.
SELECT n.nspname::text AS schema_name, c.relname::text AS table_name, a.attname::text AS column_name,
       a.atttypid AS type_oid, a.atttypmod AS type_modifier, format_type(a.atttypid, a.atttypmod) AS declared,
       a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.contype = 'n' AND n.conrelid = a.attrelid AND a.attnum = ANY (n.conkey) AND NOT n.convalidated) AS not_null, a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity,
       col_description(c.oid, a.attnum) AS comment
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY ($1)
  AND c.relkind IN ('r', 'p', 'f')
  AND NOT c.relispartition
  AND a.attnum > 0
  AND NOT a.attisdropped
ORDER BY a.attname COLLATE "C"
