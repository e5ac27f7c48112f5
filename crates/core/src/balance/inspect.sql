-- What the catalog holds of the balances' parts: kind, name, and the facts that make its definition. A part that is
-- missing has no row. A trigger is known by its function: its name is what its table was called once.
-- $1: tables; $2: functions; then tables and names, pairwise: $3 and $4 triggers with their functions $5, $6 and $7
-- statistics, $8 and $9 columns.
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
             CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'executable by public' ELSE '' END, p.prosrc,
             format('(%s) returns %s', pg_get_function_arguments(p.oid), pg_get_function_result(p.oid))
             || CASE p.provolatile WHEN 'i' THEN ' immutable' WHEN 's' THEN ' stable' ELSE '' END || CASE WHEN p.proisstrict THEN ' strict' ELSE '' END,
             CASE WHEN count(*) OVER (PARTITION BY p.proname) > 1 THEN 'there more than once' ELSE '' END]
FROM pg_proc AS p
JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.pronamespace = to_regnamespace('stockfoil') AND p.proname = ANY ($2)
UNION ALL
SELECT 'trigger', w.of_table, w.name,
       ARRAY[t.tgtype::text, p.pronamespace::regnamespace || '.' || p.proname, coalesce(t.tgoldtable, ''), coalesce(t.tgnewtable, ''),
             CASE WHEN t.tgqual IS NULL THEN ''
                  ELSE 'when ' || substring(pg_get_triggerdef(t.oid) FROM ' WHEN \((.*)\) EXECUTE FUNCTION ') END,
             CASE t.tgenabled WHEN 'D' THEN 'disabled' WHEN 'R' THEN 'enabled for replicas only'
                              WHEN 'A' THEN 'enabled always' ELSE '' END,
             CASE WHEN count(*) OVER (PARTITION BY t.tgrelid, t.tgfoid) > 1 THEN 'there more than once' ELSE '' END]
FROM unnest($3::text[], $4::text[], $5::text[]) AS w (of_table, name, function)
JOIN pg_trigger AS t ON t.tgrelid = to_regclass(w.of_table)
JOIN pg_proc AS p ON p.oid = t.tgfoid AND p.pronamespace = to_regnamespace('stockfoil') AND p.proname = w.function
UNION ALL
SELECT 'statistics', w.of_table, s.stxname::text,
       CASE WHEN 'd' = ANY (s.stxkind) THEN ARRAY(SELECT a.attname::text FROM pg_attribute AS a
                                                  WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys::int2[])) ELSE '{}' END
FROM unnest($6::text[], $7::text[]) AS w (of_table, name)
JOIN pg_statistic_ext AS s ON s.stxrelid = to_regclass(w.of_table) AND s.stxname = w.name
UNION ALL
SELECT 'column', w.of_table, a.attname::text,
       ARRAY[concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END, pg_get_expr(d.adbin, d.adrelid))]
FROM unnest($8::text[], $9::text[]) AS w (of_table, name)
JOIN pg_attribute AS a ON a.attrelid = to_regclass(w.of_table) AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
