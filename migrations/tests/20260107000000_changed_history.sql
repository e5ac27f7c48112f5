-- A key has at most one open difference and one open change of its sealed entries, and a kind is one of those known.
DO $$
DECLARE
    run  bigint;
    sort text;
BEGIN
    INSERT INTO stockfoil.run (command) VALUES ('test') RETURNING id INTO run;
    INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id, ledger_qty, sealed_qty)
    VALUES (run, run, 'large', 'o', 'i', 'l', 1, NULL), (run, run, 'changed_history', 'o', 'i', 'l', 2, 1);
    FOR sort IN SELECT unnest(ARRAY['small', 'changed_history']) LOOP
        BEGIN
            INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id, lot_id)
            VALUES (run, run, sort, 'o', 'i', 'l', '');
            ASSERT false, 'a key has one open finding of a sort';
        EXCEPTION WHEN unique_violation THEN NULL;
        END;
    END LOOP;
    UPDATE stockfoil.finding SET closed_run = run WHERE kind = 'changed_history';
    INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id)
    VALUES (run, run, 'changed_history', 'o', 'i', 'l');
    BEGIN
        UPDATE stockfoil.finding SET kind = 'perhaps';
        ASSERT false, 'a kind is one of those known';
    EXCEPTION WHEN check_violation THEN NULL;
    END;
END
$$
