-- Notes whether row-level security was enabled and forced on a table. Locks: the row that it writes.
INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before)
SELECT {command_text}, 'policy', {schema_text}, {table_text}, {name_text},
       (SELECT jsonb_build_object('enabled', c.relrowsecurity, 'forced', c.relforcerowsecurity)
        FROM pg_class AS c WHERE c.oid = {relation_text}::regclass)
ON CONFLICT (kind, schema_name, table_name, name) DO NOTHING
