-- The totals of the organizations $1, or of all, from the sealed sums themselves.
-- Locks: the new rows of stockfoil.checkpoint_total.
INSERT INTO stockfoil.checkpoint_total (org, hash_total, sealed_rows)
SELECT org, sum({key.weight} * quantity), count(*)
FROM stockfoil.checkpoint_sum
WHERE $1::text[] IS NULL OR org = ANY ($1::text[]::{org.type}[])
GROUP BY org
