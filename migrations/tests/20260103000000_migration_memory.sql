-- The migrations' memory: one row an object, the first state that was noted; one position a table.
DO $$
BEGIN
    DELETE FROM stockfoil.change;
    INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name) VALUES ('migrate-org', 'column', 'public', 'users', 'org_id');
    ASSERT (SELECT before IS NULL AND id IS NOT NULL FROM stockfoil.change), 'what was not there has no state before';
    BEGIN
        INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name, before) VALUES ('migrate-org', 'column', 'public', 'users', 'org_id', '{}');
        ASSERT false, 'an object is noted once';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    BEGIN
        INSERT INTO stockfoil.change (command, kind, schema_name, table_name, name) VALUES ('migrate-org', 'view', 'public', 'users', 'v');
        ASSERT false, 'a kind is one of those that can be put back';
    EXCEPTION WHEN check_violation THEN NULL;
    END;

    INSERT INTO stockfoil.fill (schema_name, table_name, position, rows) VALUES ('public', 'users', '{a}', 1);
    BEGIN
        INSERT INTO stockfoil.fill (schema_name, table_name, position, rows) VALUES ('public', 'users', '{b}', 1);
        ASSERT false, 'a table has one position';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
END
$$
