-- What the catalog holds of the balances' parts: kind, name, and the facts that make its definition. A part that is
-- missing has no row.
-- Locks: nothing but the catalog's own.
SELECT 'table' AS kind, c.relname::text AS name,
       ARRAY(SELECT concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                              CASE WHEN a.attgenerated = 's' THEN pg_get_expr(d.adbin, d.adrelid) END)
             FROM pg_attribute AS a
             LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
       || ARRAY(SELECT pg_get_constraintdef(k.oid) FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.convalidated) AS facts
FROM pg_class AS c
WHERE c.oid = to_regclass($1)
UNION ALL
SELECT 'function', p.proname::text,
       ARRAY[l.lanname || CASE WHEN p.prosecdef THEN ' security definer' ELSE '' END, coalesce(array_to_string(p.proconfig, '; '), ''),
             CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'executable by public' ELSE '' END, p.prosrc]
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname = ANY ($2)
UNION ALL
SELECT 'trigger', t.tgname::text,
       ARRAY[t.tgtype::text, p.pronamespace::regnamespace || '.' || p.proname, coalesce(t.tgoldtable, ''), coalesce(t.tgnewtable, ''),
             CASE WHEN t.tgqual IS NULL THEN '' ELSE 'conditional' END,
             CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled for replicas only' ELSE '' END]
FROM pg_trigger AS t
JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE t.tgrelid = to_regclass($3) AND t.tgname = ANY ($4)
UNION ALL
SELECT 'index', c.relname::text,
       ARRAY[CASE WHEN i.indisvalid AND i.indisready AND i.indpred IS NULL THEN '' ELSE 'invalid' END, i.indnkeyatts::text]
       || ARRAY(SELECT coalesce(a.attname::text, 'an expression') FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
                LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.n)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass($3) AND c.relname = $5
UNION ALL
SELECT 'statistics', s.stxname::text,
       CASE WHEN 'd' = ANY (s.stxkind) THEN ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                                                  WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[])) ELSE '{}' END
FROM pg_statistic_ext AS s
WHERE s.stxrelid = to_regclass($3) AND s.stxname = $6
