-- Marks the keys that differ: their sealed sums may be wrong, and the next run must not believe them.
-- Locks: nothing but the new marks.
INSERT INTO stockfoil.dirty_key (org, item, location, lot)
SELECT org, item, location, lot FROM pg_temp.stockfoil_difference
