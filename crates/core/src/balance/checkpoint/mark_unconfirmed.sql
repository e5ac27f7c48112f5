-- Marks the keys whose balance is right though it is not what was sealed: the sealed sums are wrong, and the next run must
-- not believe them. No trigger saw them change, so that run $1 is named: the next one tells what is not as it was sealed.
-- Locks: nothing but the new marks.
INSERT INTO stockfoil.dirty_key (org, item, location, lot, run_id)
SELECT org, item, location, lot, $1
FROM (
    SELECT org, item, location, lot FROM pg_temp.stockfoil_suspect
    EXCEPT SELECT org, item, location, lot FROM pg_temp.stockfoil_difference
) AS k
