-- Puts aside what the new entries of each key come to, as `sums.sql` does for the old ones.
-- Locks: ACCESS SHARE on the replacement, which nobody else knows.
CREATE TEMPORARY TABLE stockfoil_brought AS
SELECT e.org, {e.item} AS item, {e.location} AS location, {e.lot} AS lot, coalesce(sum(e.quantity), 0) AS quantity,
       count(*) AS entries, bit_xor({e.hash}) AS hash
FROM (
{postings}
) AS e
GROUP BY 1, 2, 3, 4
