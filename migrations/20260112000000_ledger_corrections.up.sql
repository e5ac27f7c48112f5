-- Findings say which entry corrected the ledger, and why. Also run by hand of the commands that need it, so every statement
-- holds when it is there already.
-- Locks: ACCESS EXCLUSIVE on stockfoil.finding for a moment; no row is read.

ALTER TABLE stockfoil.finding
    -- The entry that a correction of the ledger made.
    ADD COLUMN IF NOT EXISTS entry_id text,
    -- What the person said who asked for it.
    ADD COLUMN IF NOT EXISTS reason text;
