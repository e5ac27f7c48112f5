-- The record of moved rows: batches of keys, with copies of the same number or none, each of a run that stays.
DO $$
DECLARE
    mover bigint;
BEGIN
    DELETE FROM stockfoil.move;
    INSERT INTO stockfoil.run (command) VALUES ('data-assign') RETURNING id INTO mover;
    INSERT INTO stockfoil.move (run_id, schema_name, table_name, from_org, to_org, keys)
    VALUES (mover, 'public', 'users', NULL, 'acme', '{u1,u2}'), (mover, 'public', 'users', 'default', 'acme', '{u3}');
    INSERT INTO stockfoil.move (run_id, schema_name, table_name, from_org, to_org, keys, copies)
    VALUES (mover, 'public', 'items', 'default', 'acme', '{i1}', '{i9}');
    ASSERT (SELECT count(*) = 3 AND bool_and(id IS NOT NULL AND undone_run IS NULL) FROM stockfoil.move), 'nothing is undone';
    BEGIN
        INSERT INTO stockfoil.move (run_id, schema_name, table_name, to_org, keys) VALUES (mover, 'public', 'users', 'acme', '{}');
        ASSERT false, 'a batch has rows';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
    BEGIN
        INSERT INTO stockfoil.move (run_id, schema_name, table_name, to_org, keys, copies) VALUES (mover, 'public', 'items', 'acme', '{i1,i2}', '{i9}');
        ASSERT false, 'each row has its copy';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
    BEGIN
        INSERT INTO stockfoil.move (run_id, schema_name, table_name, to_org, keys) VALUES (-1, 'public', 'users', 'acme', '{u1}');
        ASSERT false, 'a batch has its run';
    EXCEPTION WHEN foreign_key_violation THEN NULL;
    END;
    BEGIN
        DELETE FROM stockfoil.run WHERE id = mover;
        ASSERT false, 'a run that moved rows is not forgotten';
    EXCEPTION WHEN foreign_key_violation THEN NULL;
    END;
END
$$
