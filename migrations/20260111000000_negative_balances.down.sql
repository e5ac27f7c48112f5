-- Back to findings of differences and of changed history; those of balances below zero go.
-- Locks: ACCESS EXCLUSIVE on stockfoil.finding.

DELETE FROM stockfoil.finding WHERE kind = 'negative';
DROP INDEX stockfoil.finding_open_key_sort;
CREATE UNIQUE INDEX finding_open_key_kind
    ON stockfoil.finding (org_id, item_id, location_id, coalesce(lot_id, ''), (kind = 'changed_history'))
    WHERE closed_run IS NULL;
ALTER TABLE stockfoil.finding
    DROP CONSTRAINT finding_kind_check,
    ADD CONSTRAINT finding_kind_check
        CHECK (kind IN ('small', 'large', 'orphan', 'missing', 'not_a_number', 'changed_history'));
COMMENT ON TABLE stockfoil.finding IS 'One row a difference between ledger and balance, or a change of sealed entries, from the run that saw it first to the run that no longer did.';
