-- A unique index of table $1 over columns of the key $2 that holds for some rows only, by what is no part of the key: name and
-- condition. Locks: none beyond the catalog's own.
SELECT c.relname::text, pg_get_expr(i.indpred, i.indrelid)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indpred IS NOT NULL
  AND NOT EXISTS (SELECT FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k (num)
                  LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.num
                  WHERE a.attname IS NULL OR a.attname <> ALL ($2::text[]))
  AND EXISTS (SELECT FROM pg_depend AS d
              JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
              WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                AND a.attname <> ALL ($2::text[]) AND a.attnum <> ALL (i.indkey::int2[]))
ORDER BY 1
LIMIT 1
