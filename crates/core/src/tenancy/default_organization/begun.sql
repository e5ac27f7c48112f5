-- The default organization of a migration that is under way: the constant default of a column $1 that had none before;
-- no row where there is none. Locks: none.
SELECT known.id
FROM stockfoil.change AS m
JOIN pg_attribute AS a ON a.attrelid = to_regclass(format('%I.%I', m.schema_name, m.table_name)) AND a.attname = m.name
JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
CROSS JOIN LATERAL (SELECT substring(pg_get_expr(d.adbin, d.adrelid) FROM '^''?([^'']+?)''?(::.*)?$') AS id) AS known
WHERE m.kind = 'column' AND m.name = $1 AND m.before ->> 'default' IS NULL AND NOT a.attisdropped
  AND pg_get_expr(d.adbin, d.adrelid) ~ '^(''[^'']*''(::.*)?|[0-9]+)$'
ORDER BY m.id
LIMIT 1
