-- Stockfoil's records: a run, and at most one open finding a key.
DO $$
DECLARE
    this bigint;
BEGIN
    INSERT INTO stockfoil.run (command) VALUES ('test') RETURNING id INTO this;
    ASSERT (SELECT finished_at IS NULL AND summary = '{}' FROM stockfoil.run WHERE id = this);
    BEGIN
        INSERT INTO stockfoil.run (command, outcome) VALUES ('test', 'perhaps');
        ASSERT false, 'an outcome is one of those known';
    EXCEPTION WHEN check_violation THEN NULL;
    END;

    INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id) VALUES (this, this, 'large', 'o', 'i', 'l');
    BEGIN
        INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id, lot_id) VALUES (this, this, 'small', 'o', 'i', 'l', '');
        ASSERT false, 'a key has one open finding, and an empty lot is no lot';
    EXCEPTION WHEN unique_violation THEN NULL;
    END;
    UPDATE stockfoil.finding SET closed_run = this;
    INSERT INTO stockfoil.finding (opened_run, last_run, kind, org_id, item_id, location_id) VALUES (this, this, 'large', 'o', 'i', 'l');
    ASSERT (SELECT count(*) FROM stockfoil.finding) = 2, 'a closed finding makes room for a new one';
END
$$
