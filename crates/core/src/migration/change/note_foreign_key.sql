-- Notes a foreign key as it is before its first change; nothing where it is not there. Locks: the row that it writes.
INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before)
SELECT {command_text}, 'foreign_key', {schema_text}, {table_text}, {name_text},
       (SELECT jsonb_build_object('definition', pg_get_constraintdef(k.oid), 'comment', obj_description(k.oid, 'pg_constraint'))
        FROM pg_constraint AS k WHERE k.conrelid = {relation_text}::regclass AND k.conname = {name_text} AND k.contype = 'f')
ON CONFLICT (kind, schema_name, table_name, name) DO NOTHING
