-- A closing holds each key once and takes its balances along, and a key has one open finding of what was entered later.
DO $$
DECLARE
    run    bigint;
    closed bigint;
BEGIN
    INSERT INTO stockfoil.run (command) VALUES ('test') RETURNING id INTO run;
    INSERT INTO stockfoil.closing (run_id, closed_before, role, transactions, system_identifier, mapping)
    VALUES (run, '2026-01-01Z', 'r', '1:1:', 's', 'm') RETURNING id INTO closed;
    INSERT INTO stockfoil.closing_balance VALUES (closed, 'o', 'i', 'l', '', 5, 1, 2);
    BEGIN
        INSERT INTO stockfoil.closing_balance VALUES (closed, 'o', 'i', 'l', '', 6, 1, 2);
        ASSERT false, 'a key is there once';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    DELETE FROM stockfoil.closing WHERE id = closed;
    ASSERT NOT EXISTS (SELECT FROM stockfoil.closing_balance WHERE closing_id = closed);
    INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id)
    VALUES (run, run, 'large', 'o', 'i', 'l'), (run, run, 'backdated', 'o', 'i', 'l');
    BEGIN
        INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id, lot_id)
        VALUES (run, run, 'backdated', 'o', 'i', 'l', '');
        ASSERT false, 'a key has one open finding of a sort';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
END
$$
