-- The columns of table $1: type, the type below its domains, its scale where it is a numeric with one.
-- Locks: none beyond the catalog's own.
SELECT a.attname::text AS name,
       format_type(a.atttypid, -1) AS type_name,
       base.base_type,
       a.attnotnull OR EXISTS (SELECT FROM pg_type d WHERE d.oid = a.atttypid AND d.typtype = 'd' AND d.typnotnull) AS is_not_null,
       a.attgenerated <> '' AS is_generated,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       base.has_one_text
FROM pg_attribute a
JOIN ({types}) AS base ON (base.attrelid, base.attnum) = (a.attrelid, a.attnum)
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
