-- Seals what was summed of the entries below the oldest transaction under way.
-- Locks: the new rows of stockfoil.checkpoint_sum.
INSERT INTO stockfoil.checkpoint_sum (org, item, location, lot, quantity, entries, hash)
SELECT org, item, location, lot, sealed_quantity, sealed_entries, sealed_hash
FROM pg_temp.stockfoil_sum
WHERE sealed_entries > 0
