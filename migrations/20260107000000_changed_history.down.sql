-- Back to findings of differences alone; those of changed history go.
-- Locks: ACCESS EXCLUSIVE on stockfoil.finding.

-- What a later release made of it without recording a version goes with it.
DELETE FROM stockfoil.finding WHERE kind NOT IN ('small', 'large', 'orphan', 'missing', 'not_a_number');
DROP INDEX stockfoil.finding_key_idx;
DROP INDEX IF EXISTS stockfoil.finding_open_key_kind, stockfoil.finding_open_key_sort;
CREATE UNIQUE INDEX finding_open_key
    ON stockfoil.finding (org_id, item_id, location_id, coalesce(lot_id, '')) WHERE closed_run IS NULL;
ALTER TABLE stockfoil.finding
    DROP COLUMN sealed_qty,
    DROP CONSTRAINT finding_kind_check,
    ADD CONSTRAINT finding_kind_check CHECK (kind IN ('small', 'large', 'orphan', 'missing', 'not_a_number'));
COMMENT ON TABLE stockfoil.finding IS 'One row a difference between ledger and balance, from the run that saw it first to the run that no longer did.';
