-- The columns of table $1: type, the type below its domains, its scale where it is a numeric with one.
-- Locks: none beyond the catalog's own.
SELECT a.attname::text AS name,
       format_type(a.atttypid, -1) AS type_name,
       base.base_type,
       -- From PostgreSQL 18 on it may be NOT VALID, and rows from before it NULL.
       a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.contype = 'n' AND n.conrelid = a.attrelid AND a.attnum = ANY (n.conkey) AND NOT n.convalidated)
       OR EXISTS (SELECT FROM pg_type d WHERE d.oid = a.atttypid AND d.typtype = 'd' AND d.typnotnull) AS is_not_null,
       a.attgenerated <> '' AS is_generated,
       -- What no trigger of the row is given.
       CASE WHEN a.attgenerated = 'v' THEN pg_get_expr(d.adbin, d.adrelid) END AS virtual_as,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       base.has_one_text
FROM pg_attribute a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
JOIN ({types}) AS base ON (base.attrelid, base.attnum) = (a.attrelid, a.attnum)
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
