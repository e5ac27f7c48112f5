-- Notes an index that is about to be made, and what as, so that another one of its name is told from it.
-- Locks: the row that it writes.
INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before)
VALUES ({command_text}, 'index', {schema_text}, {table_text}, {name_text}, {made_text}::jsonb)
ON CONFLICT (kind, schema_name, table_name, name) DO UPDATE
SET before = EXCLUDED.before, command = EXCLUDED.command, changed_at = EXCLUDED.changed_at
