-- A key has at most one open finding of each sort, and those of different sorts beside each other.
DO $$
DECLARE
    run  bigint;
    sort text;
BEGIN
    INSERT INTO stockfoil.run (command) VALUES ('test') RETURNING id INTO run;
    INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id, balance_qty)
    VALUES (run, run, 'large', 'o', 'i', 'l', -1), (run, run, 'changed_history', 'o', 'i', 'l', NULL), (run, run, 'negative', 'o', 'i', 'l', -1);
    FOR sort IN SELECT unnest(ARRAY['small', 'changed_history', 'negative']) LOOP
        BEGIN
            INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id, lot_id)
            VALUES (run, run, sort, 'o', 'i', 'l', '');
            ASSERT false, 'a key has one open finding of a sort';
        EXCEPTION WHEN unique_violation THEN NULL;
        END;
    END LOOP;
    UPDATE stockfoil.finding SET closed_run = run WHERE kind = 'negative';
    INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id)
    VALUES (run, run, 'negative', 'o', 'i', 'l');
END
$$
