-- Marks the keys put aside, which run $1 saw differ and corrected: their sealed sums may be wrong, and the next run must not
-- believe them. Where nothing is sealed there is nothing to mark.
-- Locks: nothing but the new marks.
INSERT INTO stockfoil.dirty_key (org, item, location, lot, run_id)
SELECT org, item, location, lot, $1
FROM pg_temp.stockfoil_suspect
WHERE EXISTS (SELECT FROM stockfoil.checkpoint)
