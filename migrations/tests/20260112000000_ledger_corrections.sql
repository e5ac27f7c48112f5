-- A finding that an entry closed says which and why; the others say neither.
DO $$
DECLARE
    run bigint;
BEGIN
    INSERT INTO stockfoil.run (command) VALUES ('test') RETURNING id INTO run;
    INSERT INTO stockfoil.finding (opened_run, last_run, closed_run, kind, org_id, item_id, location_id, entry_id, reason)
    VALUES (run, run, run, 'large', 'o', 'i', 'l', 'e', 'a count'), (run, run, NULL, 'large', 'o', 'i', 'l', NULL, NULL);
    ASSERT (SELECT count(*) FROM stockfoil.finding WHERE opened_run = run AND entry_id = 'e' AND reason = 'a count') = 1;
END
$$
