-- The columns of table $1: name, the type and its category, whether it is generated, whether an INSERT may leave it out,
-- whether only the server gives it a value, whether it is in a unique index, in the primary key, in a foreign
-- key, and its place, from 0, among those that are not dropped. Locks: none beyond the catalog's own.
SELECT a.attname::text AS name, format_type(a.atttypid, NULL) AS type_name, t.typcategory::text AS category, a.attgenerated <> '' AS is_generated,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       a.attidentity = 'a' AS is_always,
       EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey::int2[])) AS is_unique,
       EXISTS (SELECT FROM pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey::int2[])) AS is_primary,
       EXISTS (SELECT FROM pg_constraint AS k WHERE k.conrelid = a.attrelid AND k.contype = 'f' AND a.attnum = ANY (k.conkey)) AS is_reference,
       row_number() OVER (ORDER BY a.attnum) - 1 AS place
FROM pg_attribute AS a
JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
