-- Notes that something is about to be made that is not there. Locks: the row that it writes.
INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name)
VALUES ({command_text}, {kind_text}, {schema_text}, {table_text}, {name_text})
ON CONFLICT (kind, schema_name, table_name, name) DO NOTHING
