-- Marks the keys that run $1 saw differ: their sealed sums may be wrong, and the next run must not believe them. Where
-- nothing is sealed there is nothing to mark.
-- Locks: nothing but the new marks.
INSERT INTO stockfoil.dirty_key (org, item, location, lot, run_id)
SELECT org, item, location, lot, $1
FROM pg_temp.stockfoil_difference
WHERE org IS NOT NULL AND (ledger_qty IS NOT NULL OR balance_qty IS DISTINCT FROM 0)
  AND EXISTS (SELECT FROM stockfoil.checkpoint)
