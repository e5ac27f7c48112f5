-- The columns without a short limit of each unique key of table $1 that is no primary key: values of theirs may be too long for an index.
-- Locks: none.
SELECT array_agg(a.attname::text ORDER BY a.attnum)
FROM pg_index AS i
JOIN pg_class AS t ON t.oid = i.indrelid AND t.relkind IN ('r', 'p')
JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
WHERE i.indrelid = to_regclass($1) AND i.indisunique AND NOT i.indisprimary
  AND a.attlen = -1
  -- varchar(600) is short in every encoding; a numeric has few digits.
  AND a.atttypid NOT IN ('numeric'::regtype, 'inet'::regtype, 'bit'::regtype)
  AND NOT (a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) AND a.atttypmod BETWEEN 4 AND 604)
GROUP BY i.indexrelid
ORDER BY 1
