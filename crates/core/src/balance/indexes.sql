-- The indexes of the tables $1, with the facts that make their definitions. Locks: nothing but the catalog's own.
SELECT w.of_table AS "table", c.relname::text AS name, i.indisvalid AND i.indisready AND i.indislive AS is_valid,
       (SELECT p.relname::text FROM pg_inherits AS h JOIN pg_class AS p ON p.oid = h.inhparent WHERE h.inhrelid = c.oid) AS parent,
       ARRAY[am.amname::text,
             CASE WHEN i.indisunique THEN 'unique' || CASE WHEN i.indnullsnotdistinct THEN ', nulls not distinct' ELSE '' END ELSE '' END,
             i.indnkeyatts::text]
       || ARRAY(SELECT coalesce(a.attname::text, pg_get_indexdef(i.indexrelid, k.n::int, false))
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
                LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0 ORDER BY k.n)
       || ARRAY[coalesce(pg_get_expr(i.indpred, i.indrelid), '')] AS facts
FROM unnest($1::text[]) AS w (of_table)
JOIN pg_index AS i ON i.indrelid = to_regclass(w.of_table)
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS am ON am.oid = c.relam
ORDER BY 1, 2
