-- Marks the keys whose balance is right though it is not what was sealed: the sealed sums are wrong, and the next run must
-- not believe them. Locks: nothing but the new marks.
INSERT INTO stockfoil.dirty_key (org, item, location, lot)
SELECT org, item, location, lot FROM pg_temp.stockfoil_suspect
EXCEPT SELECT org, item, location, lot FROM pg_temp.stockfoil_difference
