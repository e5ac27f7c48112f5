-- What the catalog holds of the balances' parts: kind, name, and the facts that make its definition. A part that is
-- missing has no row. $1: tables; $2: functions; then tables and names, pairwise: $3 and $4 triggers, $5 and $6 indexes,
-- $7 and $8 statistics, $9 and $10 columns.
-- Locks: nothing but the catalog's own.
SELECT 'table' AS kind, w.of_table, c.relname::text AS name,
       -- Whether a name is printed in quotes depends on the server's key words, so they are left out.
       ARRAY(SELECT concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                              CASE WHEN a.attgenerated = 's' THEN replace(pg_get_expr(d.adbin, d.adrelid), '"', '') END)
             FROM pg_attribute AS a
             LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
       || ARRAY(SELECT replace(pg_get_constraintdef(k.oid), '"', '') FROM pg_constraint AS k WHERE k.conrelid = c.oid AND k.convalidated) AS facts
FROM unnest($1::text[]) AS w (of_table)
JOIN pg_class AS c ON c.oid = to_regclass(w.of_table)
UNION ALL
SELECT 'function', '', p.proname::text,
       ARRAY[l.lanname || CASE WHEN p.prosecdef THEN ' security definer' ELSE '' END, coalesce(array_to_string(p.proconfig, '; '), ''),
             CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'executable by public' ELSE '' END, p.prosrc]
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname = ANY ($2)
UNION ALL
SELECT 'trigger', w.of_table, t.tgname::text,
       ARRAY[t.tgtype::text, p.pronamespace::regnamespace || '.' || p.proname, coalesce(t.tgoldtable, ''), coalesce(t.tgnewtable, ''),
             CASE WHEN t.tgqual IS NULL THEN ''
                  ELSE 'when ' || substring(pg_get_triggerdef(t.oid) FROM ' WHEN \((.*)\) EXECUTE FUNCTION ') END,
             CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled for replicas only'
                              WHEN 'A' THEN 'enabled always' ELSE '' END]
FROM unnest($3::text[], $4::text[]) AS w (of_table, name)
JOIN pg_trigger AS t ON t.tgrelid = to_regclass(w.of_table) AND t.tgname = w.name
JOIN pg_proc AS p ON p.oid = t.tgfoid
UNION ALL
SELECT 'index', w.of_table, c.relname::text,
       ARRAY[CASE WHEN NOT (i.indisvalid AND i.indisready) THEN 'invalid'
                  WHEN i.indisunique THEN 'unique' || CASE WHEN i.indnullsnotdistinct THEN ', nulls not distinct' ELSE '' END
                  ELSE '' END,
             i.indnkeyatts::text]
       || ARRAY(SELECT coalesce(a.attname::text, pg_get_indexdef(i.indexrelid, k.n::int, false))
                FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)
                LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0 ORDER BY k.n)
       || ARRAY[coalesce(pg_get_expr(i.indpred, i.indrelid), '')]
FROM unnest($5::text[], $6::text[]) AS w (of_table, name)
JOIN pg_index AS i ON i.indrelid = to_regclass(w.of_table)
JOIN pg_class AS c ON c.oid = i.indexrelid AND c.relname = w.name
UNION ALL
SELECT 'statistics', w.of_table, s.stxname::text,
       CASE WHEN 'd' = ANY (s.stxkind) THEN ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                                                  WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[])) ELSE '{}' END
FROM unnest($7::text[], $8::text[]) AS w (of_table, name)
JOIN pg_statistic_ext AS s ON s.stxrelid = to_regclass(w.of_table) AND s.stxname = w.name
UNION ALL
SELECT 'column', w.of_table, a.attname::text,
       ARRAY[concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END, pg_get_expr(d.adbin, d.adrelid))]
FROM unnest($9::text[], $10::text[]) AS w (of_table, name)
JOIN pg_attribute AS a ON a.attrelid = to_regclass(w.of_table) AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
