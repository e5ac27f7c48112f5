-- Puts aside the sealed sums, one row a key. Locks: nothing but a temporary table.
CREATE TEMPORARY TABLE stockfoil_seal ON COMMIT DROP AS
SELECT org, item, location, lot, sum(quantity) AS quantity, sum(entries)::bigint AS entries, bit_xor(hash) AS hash
FROM stockfoil.checkpoint_sum
GROUP BY 1, 2, 3, 4
