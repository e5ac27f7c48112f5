-- Notes whose a function is; its name is its signature. Locks: the row that it writes.
INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before)
SELECT {command_text}, 'function', {schema_text}, {table_text}, {name_text},
       (SELECT jsonb_build_object('owner', r.rolname)
        FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = p.proowner WHERE p.oid = to_regprocedure({name_text}))
ON CONFLICT (kind, schema_name, table_name, name) DO NOTHING
