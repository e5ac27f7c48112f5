-- Findings of balances below zero. A key may have one open beside its difference and a change of its sealed entries. Also run
-- by hand of the commands that need it, so every statement holds when it is there already.
-- Locks: ACCESS EXCLUSIVE on stockfoil.finding while its rows are checked and indexed; only Stockfoil writes it.

ALTER TABLE stockfoil.finding
    DROP CONSTRAINT IF EXISTS finding_kind_check,
    ADD CONSTRAINT finding_kind_check
        CHECK (kind IN ('small', 'large', 'orphan', 'missing', 'not_a_number', 'changed_history', 'negative'));
COMMENT ON TABLE stockfoil.finding IS 'One row a difference between ledger and balance, a change of sealed entries, or a balance below zero, from the run that saw it first to the run that no longer did.';

DROP INDEX IF EXISTS stockfoil.finding_open_key_kind;
CREATE UNIQUE INDEX IF NOT EXISTS finding_open_key_sort
    ON stockfoil.finding (org_id, item_id, location_id, coalesce(lot_id, ''),
                          (CASE WHEN kind IN ('changed_history', 'negative') THEN kind ELSE 'difference' END))
    WHERE closed_run IS NULL;
