-- Column $2 of table $1: its type, whether each row has a value, and its default.
-- Locks: none beyond the catalog's own.
SELECT format_type(a.atttypid, a.atttypmod),
       -- From PostgreSQL 18 on it may be NOT VALID, and rows from before it NULL.
       a.attnotnull
       AND NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.contype = 'n' AND n.conrelid = a.attrelid AND a.attnum = ANY (n.conkey) AND NOT n.convalidated),
       pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
