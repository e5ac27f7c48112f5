-- Isolation's memory: what it makes and alters is noted once, beside what the other migrations note.
DO $$
BEGIN
    DELETE FROM stockfoil.change;
    INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before) VALUES
        ('isolate', 'role', 'pg_catalog', 'pg_authid', 'app', NULL),
        ('isolate', 'grant', 'public', 'users', 'table app', '["SELECT"]'),
        ('isolate', 'policy', 'public', 'users', '', '{"enabled": false, "forced": false}'),
        ('isolate', 'function', 'pg_catalog', 'pg_proc', 'stockfoil.f()', '{"owner": "postgres"}'),
        ('migrate-org', 'column', 'public', 'users', 'org_id', NULL);
    BEGIN
        INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name) VALUES ('isolate', 'policy', 'public', 'users', '');
        ASSERT false, 'an object is noted once';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    BEGIN
        INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name) VALUES ('isolate', 'view', 'public', 'users', 'v');
        ASSERT false, 'a kind is one of those that can be put back';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
END
$$
