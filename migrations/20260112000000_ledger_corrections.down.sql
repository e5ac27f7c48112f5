-- Back to findings that say nothing of corrections of the ledger.
-- Locks: ACCESS EXCLUSIVE on stockfoil.finding for a moment.

ALTER TABLE stockfoil.finding DROP COLUMN entry_id, DROP COLUMN reason;
