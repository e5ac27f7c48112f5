-- Forgets what was closed, and findings of what was entered into closed periods.
-- Locks: ACCESS EXCLUSIVE on stockfoil.finding and the tables that go.

DELETE FROM stockfoil.finding WHERE kind = 'backdated';
DROP INDEX stockfoil.finding_open_key_of_sort;
CREATE UNIQUE INDEX finding_open_key_sort
    ON stockfoil.finding (org_id, item_id, location_id, coalesce(lot_id, ''),
                          (CASE WHEN kind IN ('changed_history', 'negative') THEN kind ELSE 'difference' END))
    WHERE closed_run IS NULL;
ALTER TABLE stockfoil.finding
    DROP CONSTRAINT finding_kind_check,
    ADD CONSTRAINT finding_kind_check
        CHECK (kind IN ('small', 'large', 'orphan', 'missing', 'not_a_number', 'changed_history', 'negative'));
COMMENT ON TABLE stockfoil.finding IS 'One row a difference between ledger and balance, a change of sealed entries, or a balance below zero, from the run that saw it first to the run that no longer did.';
DROP TABLE stockfoil.closing_balance;
DROP TABLE stockfoil.closing;
