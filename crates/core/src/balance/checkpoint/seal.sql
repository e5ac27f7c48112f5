-- Seals the new entries below {next}, a row each: that costs less than grouping them.
-- Locks: ACCESS SHARE on ledger, which stops no writer, and the new rows of stockfoil.checkpoint_sum.
INSERT INTO stockfoil.checkpoint_sum (org, item, location, lot, quantity, entries, hash)
SELECT org, item, location, lot, quantity, 1, hash
FROM (
{new}
) AS new
WHERE tx < {next}
