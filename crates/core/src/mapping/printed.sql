-- The one expression of the index, as PostgreSQL prints it, its type, and the type below its domains.
-- Locks: none beyond the catalog's own.
SELECT pg_get_indexdef(i.indexrelid, 1, false) AS text,
       format_type(a.atttypid, -1) AS type_name,
       base.base_type,
       base.has_one_text
FROM pg_index i
JOIN pg_attribute a ON a.attrelid = to_regclass('pg_temp.stockfoil_value') AND a.attnum = 1
JOIN ({types}) AS base ON (base.attrelid, base.attnum) = (a.attrelid, a.attnum)
WHERE i.indexrelid = to_regclass('pg_temp.stockfoil_value_idx')
  AND i.indnatts = 1 AND i.indpred IS NULL
  AND (SELECT count(*) FROM pg_attribute c WHERE c.attrelid = a.attrelid AND c.attnum > 0) = 1
