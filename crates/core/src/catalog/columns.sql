-- The columns of table $1 in its order, with what the database puts where an insert says nothing.
-- Locks: none beyond the catalog's own.
SELECT a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type_name, a.attnotnull AND NOT EXISTS (SELECT FROM pg_constraint AS n WHERE n.contype = 'n' AND n.conrelid = a.attrelid AND a.attnum = ANY (n.conkey) AND NOT n.convalidated) AS not_null,
       a.attgenerated <> '' AS is_generated,
       CASE WHEN a.attidentity <> ''
            THEN format('nextval(%L::regclass)', pg_get_serial_sequence(a.attrelid::regclass::text, a.attname))
            WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END AS default
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
