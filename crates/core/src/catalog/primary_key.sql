-- The columns of table $1's primary key, in its order, with their types. Locks: none beyond the catalog's own.
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_index AS i
CROSS JOIN unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
WHERE i.indrelid = to_regclass($1) AND i.indisprimary AND k.place <= i.indnkeyatts
ORDER BY k.place
