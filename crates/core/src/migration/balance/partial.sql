-- A unique index of table $1 over columns of the key $2 that holds for other rows than those that are balances, which are those
-- where $3 holds, or all (NULL): name and condition. Of none of the names that begin with $4, which is Stockfoil's own; nor one
-- that a balance's columns alone tell apart.
-- Locks: none beyond the catalog's own.
SELECT c.relname::text, pg_get_expr(i.indpred, i.indrelid)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass($1) AND i.indisunique
  AND pg_get_expr(i.indpred, i.indrelid) IS DISTINCT FROM $3
  AND NOT EXISTS (SELECT FROM unnest((i.indkey::int2[])[0:i.indnkeyatts - 1]) AS k (num)
                  LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.num
                  WHERE a.attname IS NULL OR a.attname <> ALL ($2::text[]))
  AND ($3 IS NOT NULL AND NOT starts_with(c.relname::text, $4)
       OR $3 IS NULL
          AND EXISTS (SELECT FROM pg_depend AS d
                      JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                      WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                        AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid
                        AND a.attname <> ALL ($2::text[]) AND a.attnum <> ALL (i.indkey::int2[])))
ORDER BY 1
LIMIT 1
