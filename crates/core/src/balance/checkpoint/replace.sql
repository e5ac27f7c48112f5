-- Replaces the sealed sums by those put aside. Rows are deleted, not truncated, so that nobody waits: a dump that is
-- under way holds the table for as long as it lasts.
-- Locks: rows of stockfoil.checkpoint_sum.
WITH gone AS (DELETE FROM stockfoil.checkpoint_sum)
INSERT INTO stockfoil.checkpoint_sum (org, item, location, lot, quantity, entries, hash)
SELECT org, item, location, lot, quantity, entries, hash
FROM pg_temp.stockfoil_seal
