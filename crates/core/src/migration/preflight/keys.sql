-- The unique keys of the tables $1 that reach across organizations, whose column is $2, but for those WITHOUT OVERLAPS, which
-- stay. Locks: none.
SELECT i.indexrelid AS index, i.indrelid AS relation, c.relname AS name, k.oid AS constraint,
       regexp_replace(i.indrelid::regclass::text, '^public\.', '') AS table_name
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype = 'u'
WHERE i.indrelid IN (SELECT to_regclass(n)::oid FROM unnest($1::text[]) AS n)
  AND i.indisunique AND NOT i.indisprimary AND NOT i.indisexclusion
  AND NOT EXISTS (SELECT FROM pg_inherits AS h WHERE h.inhrelid = i.indexrelid)
  AND NOT EXISTS (SELECT FROM pg_attribute AS a
                  WHERE a.attrelid = i.indrelid AND a.attname = $2 AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
