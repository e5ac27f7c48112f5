-- Seals what was summed again. What that adds to the totals. Locks: the new rows of stockfoil.checkpoint_sum.
WITH sealed AS (
    INSERT INTO stockfoil.checkpoint_sum (org, item, location, lot, quantity, entries, hash)
    SELECT org, item, location, lot, sealed_quantity, sealed_entries, sealed_hash
    FROM pg_temp.stockfoil_again
    WHERE sealed_entries > 0
)
SELECT org::text, sum({key.weight} * sealed_quantity)::text AS sealed, sum({key.weight} * pending_quantity)::text AS pending,
       count(*) FILTER (WHERE sealed_entries > 0) AS rows
FROM pg_temp.stockfoil_again
GROUP BY org
