-- Findings of changed history: sealed entries that something changed without the triggers seeing it. A key may have one
-- open beside its difference. Also run by hand of the commands that need it, so every statement holds when it is there
-- already.
-- Locks: ACCESS EXCLUSIVE on stockfoil.finding while its rows are checked and indexed; only Stockfoil writes it.

ALTER TABLE stockfoil.finding
    -- What the entries added up to when they were sealed; ledger_qty is then what the same entries add up to now.
    ADD COLUMN IF NOT EXISTS sealed_qty numeric,
    DROP CONSTRAINT IF EXISTS finding_kind_check,
    ADD CONSTRAINT finding_kind_check
        CHECK (kind IN ('small', 'large', 'orphan', 'missing', 'not_a_number', 'changed_history'));
COMMENT ON TABLE stockfoil.finding IS 'One row a difference between ledger and balance, or a change of sealed entries, from the run that saw it first to the run that no longer did.';

DROP INDEX IF EXISTS stockfoil.finding_open_key;
CREATE UNIQUE INDEX IF NOT EXISTS finding_open_key_kind
    ON stockfoil.finding (org_id, item_id, location_id, coalesce(lot_id, ''), (kind = 'changed_history'))
    WHERE closed_run IS NULL;
CREATE INDEX IF NOT EXISTS finding_key_idx ON stockfoil.finding (org_id, item_id, location_id);
