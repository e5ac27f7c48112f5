-- Notes a unique key, with those of the table's partitions that are its parts, before it is dropped.
-- Locks: the row that it writes.
INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before)
WITH RECURSIVE part AS (
    SELECT i.indexrelid AS index, 0::oid AS parent, 0 AS level
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = {relation_text}::regclass AND c.relname = {name_text}
    UNION ALL
    SELECT h.inhrelid, h.inhparent, part.level + 1 FROM part JOIN pg_inherits AS h ON h.inhparent = part.index
), numbered AS (
    SELECT part.*, row_number() OVER (ORDER BY level, index) - 1 AS number FROM part
)
SELECT {command_text}, 'unique_key', {schema_text}, {table_text}, {name_text}, jsonb_build_object(
    'method', am.amname,
    -- The definition begins with names only, so their quoted length says where the columns begin.
    'tail', substr(pg_get_indexdef(i.indexrelid), 1 + length(format('CREATE UNIQUE INDEX %I ON %s%I.%I USING %I (',
        c.relname, CASE WHEN c.relkind = 'I' THEN 'ONLY ' ELSE '' END, n.nspname, t.relname, am.amname))),
    'constraint', CASE WHEN k.oid IS NOT NULL THEN jsonb_build_object(
        'deferrable', k.condeferrable, 'deferred', k.condeferred, 'definition', pg_get_constraintdef(k.oid)) END,
    'parts', ARRAY(SELECT pg_get_indexdef(i.indexrelid, place, false) FROM generate_series(1, i.indnkeyatts) AS place ORDER BY place),
    'predicate', pg_get_expr(i.indpred, i.indrelid),
    'nulls_not_distinct', i.indnullsnotdistinct,
    'places', (
        SELECT jsonb_agg(jsonb_build_object(
                   'schema', pn.nspname, 'table', pt.relname, 'index', pc.relname, 'is_leaf', pc.relkind = 'i',
                   'parent', (SELECT up.number FROM numbered AS up WHERE up.index = p.parent),
                   'tablespace', (SELECT s.spcname FROM pg_tablespace AS s WHERE s.oid = pc.reltablespace),
                   'clustered', pi.indisclustered,
                   'statistics', (SELECT jsonb_agg(jsonb_build_array(a.attnum, a.attstattarget) ORDER BY a.attnum)
                                  FROM pg_attribute AS a WHERE a.attrelid = p.index AND a.attstattarget >= 0),
                   'extensions', (SELECT jsonb_agg(e.extname ORDER BY e.extname)
                                  FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid
                                  WHERE d.classid = 'pg_class'::regclass AND d.objid = p.index AND d.deptype = 'x'
                                    AND d.refclassid = 'pg_extension'::regclass),
                   'index_comment', obj_description(p.index, 'pg_class'),
                   'constraint_comment', (SELECT obj_description(pk.oid, 'pg_constraint') FROM pg_constraint AS pk
                                          WHERE pk.conindid = p.index AND pk.contype = 'u'))
               ORDER BY p.number)
        FROM numbered AS p
        JOIN pg_class AS pc ON pc.oid = p.index
        JOIN pg_index AS pi ON pi.indexrelid = p.index
        JOIN pg_class AS pt ON pt.oid = pi.indrelid
        JOIN pg_namespace AS pn ON pn.oid = pt.relnamespace))
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_class AS t ON t.oid = i.indrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace
JOIN pg_am AS am ON am.oid = c.relam
LEFT JOIN pg_constraint AS k ON k.conindid = i.indexrelid AND k.contype = 'u'
WHERE i.indrelid = {relation_text}::regclass AND c.relname = {name_text}
-- A key that is there again after a rollback, or that was made again, is what has to come back.
ON CONFLICT (kind, schema_name, table_name, name) DO UPDATE
SET before = EXCLUDED.before, command = EXCLUDED.command, changed_at = EXCLUDED.changed_at
