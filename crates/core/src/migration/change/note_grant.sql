-- Notes what a role was granted on a table, a sequence, a function or a schema (which stands for its own name's table
-- too); the name is what it is, and the role. Locks: the row that it writes.
INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before)
SELECT {command_text}, 'grant', {schema_text}, {table_text}, {name_text}, (
    SELECT coalesce(jsonb_agg(DISTINCT a.privilege_type), '[]')
    FROM aclexplode(CASE WHEN {name_text} LIKE 'schema %' THEN (SELECT n.nspacl FROM pg_namespace AS n WHERE n.nspname = {schema_text})
                         WHEN {name_text} LIKE 'function %' THEN (SELECT p.proacl FROM pg_proc AS p WHERE p.oid = to_regproc({relation_text}))
                         ELSE (SELECT c.relacl FROM pg_class AS c WHERE c.oid = to_regclass({relation_text})) END) AS a
    JOIN pg_roles AS r ON r.oid = a.grantee
    WHERE r.rolname = substr({name_text}, strpos({name_text}, ' ') + 1))
ON CONFLICT (kind, schema_name, table_name, name) DO NOTHING
