-- Notes a column as it is before its first change; nothing where it is not there. Locks: the row that it writes.
INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before)
SELECT {command_text}, 'column', {schema_text}, {table_text}, {name_text},
       (SELECT jsonb_build_object('not_null', a.attnotnull, 'default', pg_get_expr(d.adbin, d.adrelid))
        FROM pg_attribute AS a
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = {relation_text}::regclass AND a.attname = {name_text} AND a.attnum > 0 AND NOT a.attisdropped)
ON CONFLICT (kind, schema_name, table_name, name) DO NOTHING
